"""Run folders of SurFhead and GaussianAvatars, imported: drawn, measured, driven and trained on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from surfhead.core.registry import create
from surfhead.data.feed import cameras_of
from surfhead.plugins.rigs.flame.example import write_example
from surfhead.runs.run import load_avatar
from tests.commands.conftest import Surfhead

SMALL = {
    **{"width": 40, "height": 40, "cameras": 3, "views_per_timestep": 2, "timesteps": 3},
    **{"test_timesteps": 1, "test_cameras": 1, "detail": 1, "texels": 1, "supersampling": 1},
}
SAVED = "point_cloud/iteration_30000"
ORBIT = ("--size", "32", "--device", "cpu")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a FLAME-shaped model, data of it, a short run, and that run as both projects write it."""
    from surfhead.runs.train import train

    root = tmp_path_factory.mktemp("foreign")
    model = write_example(root / "published")
    rig = {"path": str(model)}
    scene = create(
        "dataset", "synthetic", {**SMALL, "rig": "flame", "rig_options": rig, "cache": str(root / "cache")}
    ).open(None)
    create("dataset", "vhap").write(scene, root / "data")
    settings = {"iterations": 12, "device": "cpu", "rig": {"name": "flame", **rig}, "appearance": "sh"}
    for name, deformer, layout in (
        ("theirs", "jacobian", "surfhead"),
        ("ga", "similarity", "gaussian-avatars"),
    ):
        run = root / f"{name}-run"
        train(
            str(root / "data"),
            preset="tiny",
            settings={**settings, "deformer": deformer},
            out=run,
            quiet=True,
        )
        create("format", layout).write(
            load_avatar(run, device="cpu"), root / name / SAVED / "point_cloud.ply"
        )
    for ending in (".json", ".safetensors"):  # which SurFhead does not write
        (root / "theirs" / SAVED / "point_cloud").with_suffix(ending).unlink()
    return root


@pytest.mark.parametrize("name", ["theirs", "ga"])
def test_without_its_data_a_run_is_drawn_driven_and_measured_on_other_data(
    surfhead: Surfhead, made: Path, tmp_path: Path, name: str
) -> None:
    rig = f"--set=rig.path={made / 'published' / 'model.pkl'}"
    said = surfhead("import", str(made / name), "run", rig)
    assert said.code == 0, said.err
    scene = create("dataset", "vhap").open(made / "data")
    original = load_avatar(made / f"{name}-run", device="cpu")
    imported = load_avatar(tmp_path / "run", device="cpu")
    view = 1
    camera, step = cameras_of(scene, [view], "cpu"), int(scene.views.timestep[view])
    original.advance(imported.images)  # every harmonic is on
    drawn, again = (avatar.render(camera, step) for avatar in (original, imported))
    for part in ("mean", "tangents", "normal", "opacity"):
        torch.testing.assert_close(
            getattr(again.surfels, part), getattr(drawn.surfels, part), rtol=1e-4, atol=1e-5
        )
    ours, theirs = drawn.output.rgb, again.output.rgb
    difference = (ours - theirs).abs()
    assert float(difference.max()) < 2 / 255  # a surfel at the faintest alpha that is drawn may come or go
    assert float((difference < 1 / 255).float().mean()) > 0.999
    assert float((ours - 1).abs().max()) > 0.3  # there is something to see
    assert surfhead("render", "run", "--frames", "2", *ORBIT).code == 0
    said = surfhead("reenact", "run", "--driver", str(made / "data"), "--no-video", "--sheet", "2", *ORBIT)
    assert said.code == 0, said.err
    assert np.asarray(Image.open("run/reenact/data/sheet.png")).std() > 10
    said = surfhead("eval", "run", "--data", str(made / "data"), "--split", "val")
    assert said.code == 0, said.err
    assert "PSNR" in said.out


@pytest.mark.parametrize("name", ["theirs", "ga"])
def test_with_data_a_run_without_motion_is_measured_and_trains_on(
    surfhead: Surfhead, made: Path, tmp_path: Path, name: str
) -> None:
    shutil.copytree(made / name, tmp_path / "source")
    (tmp_path / "source" / SAVED / "flame_param.npz").unlink()
    rig = f"--set=rig.path={made / 'published' / 'model.pkl'}"
    said = surfhead("import", "source", "run", rig)
    assert said.code == 2
    assert said.err.splitlines()[-1] == "Add --data FOLDER."
    words = (
        "--data",
        str(made / "data"),
        rig,
        "--set=iterations=30004",
        "--set=device=cpu",
        "--preset",
        "tiny",
    )
    said = surfhead("import", "source", "run", *words)
    assert said.code == 0, said.err
    said = surfhead("eval", "run", "--limit", "2")
    assert said.code == 0, said.err
    before = json.loads(next(Path("run/eval").glob("*/val.json")).read_text("utf-8"))["means"]["psnr"]
    assert before > 8
    said = surfhead("train", "--resume", "--out", "run", "--quiet")
    assert said.code == 0, said.err
    assert load_avatar(tmp_path / "run", device="cpu").images == 30004


def test_its_own_refined_motion_is_what_it_is_measured_with(
    surfhead: Surfhead, made: Path, tmp_path: Path
) -> None:
    shutil.copytree(made / "theirs", tmp_path / "source")
    tracked = tmp_path / "source" / SAVED / "flame_param.npz"
    fields = dict(np.load(tracked))
    fields["translation"] = fields["translation"] + np.float32(0.02)  # as if training had moved the head
    np.savez(tracked, **fields)
    rig = f"--set=rig.path={made / 'published' / 'model.pkl'}"
    words = ("eval", "run", "--split", "val", "--data", str(made / "data"))
    figures = []
    for source, more in (
        (made / "theirs", ()),
        (tmp_path / "source", ()),
        (tmp_path / "source", ("--own-motion",)),
    ):
        assert surfhead("import", str(source), "run", rig).code == 0
        said = surfhead(*words, *more)
        assert said.code == 0, said.err
        figures.append(
            json.loads(next(Path("run/eval").glob("*/val.json")).read_text("utf-8"))["means"]["psnr"]
        )
        shutil.rmtree("run")
    assert figures[1] == figures[0]
    assert figures[2] < figures[0] - 0.5


def test_options_of_the_format_must_be_a_table(surfhead: Surfhead, made: Path) -> None:
    said = surfhead("import", str(made / "theirs"), "run", "--set=format=surfhead")
    assert said.code == 2
    assert 'Setting "format" is "surfhead"' in said.err
    said = surfhead("import", str(made / "theirs"), "run", "--set=format.neighbour_order=random")
    assert said.code == 2
    assert "edge | index" in said.err


def test_another_head_than_the_data_sets_is_said(surfhead: Surfhead, made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "theirs", tmp_path / "source")
    tracked = tmp_path / "source" / SAVED / "flame_param.npz"
    fields = dict(np.load(tracked))
    rig = f"--set=rig.path={made / 'published' / 'model.pkl'}"
    words = ("run", "--data", str(made / "data"), rig, "--set=device=cpu", "--preset", "tiny")
    said = surfhead("import", "source", *words)
    assert said.code == 0, said.err
    assert "has another" not in said.err
    shutil.rmtree("run")
    np.savez(tracked, **{**fields, "shape": np.full(300, 0.1, np.float32)})
    said = surfhead("import", "source", *words)
    assert said.code == 0, said.err
    assert 'has another "shape"' in said.err

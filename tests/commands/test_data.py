"""`surfhead data check`, and what stands behind it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from surfhead.core.api import Frame, Rig, Scene, create
from surfhead.data.data_check import GOOD, check_scene, overlap
from surfhead.data.overlays import OUTLINE
from tests.commands.conftest import TINY, Surfhead

SMALL = {
    **{"width": 40, "height": 40, "cameras": 3, "timesteps": 2, "test_timesteps": 1, "test_cameras": 1},
    **{"views_per_timestep": 2, "supersampling": 1, "detail": 1, "texels": 2},
}


@pytest.fixture
def scene() -> Scene:
    """Seven views of the built-in head."""
    opened: Scene = create("dataset", "synthetic", SMALL).open(None)
    return opened


@pytest.fixture
def rig(scene: Scene) -> Rig:
    """The built-in head."""
    made: Rig = create("rig", scene.rig)
    made.prepare(scene.identity)
    return made


def test_good_data_has_no_problem_and_the_rig_lies_on_the_head(surfhead: Surfhead) -> None:
    small = [f"--set=data.{key}={value}" for key, value in SMALL.items()]
    said = surfhead("data", "check", *small, "--out", "overlays")
    assert said.code == 0, said.out
    text = " ".join(said.out.split())
    assert "views 7 (4 train, 2 val, 1 test) of 40x40" in text
    assert said.out.splitlines()[-1] == "Nothing is wrong with it."
    assert float(text.partition("IoU ")[2].split()[0]) > 0.9
    overlays = sorted(Path("overlays").iterdir())
    assert [file.name for file in overlays] == [*(f"{number:03d}.png" for number in range(7)), "sheet.png"]
    pixels = np.asarray(Image.open(overlays[0])).astype(int)[:40, :40]
    outlined = (pixels == OUTLINE).all(axis=-1)
    assert 0.03 < outlined.mean() < 0.2
    tinted = pixels[..., 0] > pixels[..., 2] + 60
    assert 0.3 < tinted.mean() < 0.9


def opengl(pose: np.ndarray) -> np.ndarray:
    return np.diag([1.0, -1.0, -1.0, 1.0]) @ pose


def centimetres(pose: np.ndarray) -> np.ndarray:
    scaled = pose.copy()
    scaled[:, :3, 3] *= 100
    return scaled


@pytest.mark.parametrize(
    ("spoil", "said"),
    [(opengl, "OpenGL's"), (np.linalg.inv, "world-from-camera"), (centimetres, "100 times too large")],
)
def test_wrong_camera_conventions_are_named(scene: Scene, rig: Rig, spoil: object, said: str) -> None:
    spoiled = spoil(scene.views.camera_from_world)  # type: ignore[operator]
    scene.views = replace(scene.views, camera_from_world=spoiled)
    report = check_scene(scene, rig, 4)
    assert report.iou is not None
    assert report.iou < GOOD
    (problem,) = report.problems
    assert said in problem


def test_a_translation_that_is_not_centred_is_named(scene: Scene, rig: Rig) -> None:
    scene.rig_parameters["translation"] = scene.rig_parameters["translation"] + torch.tensor([0.0, 0.5, 0.0])
    (problem,) = check_scene(scene, rig, 4).problems
    assert "not centred" in problem


def test_gaps_and_damaged_pictures_are_told(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.rig_parameters = {k: torch.cat([v, v[:1]]) for k, v in scene.rig_parameters.items()}
    whole = scene.frame

    def damaged(view: int) -> Frame:
        frame = whole(view)
        return replace(frame, image=frame.image[1:]) if view == 2 else frame

    monkeypatch.setattr(scene, "frame", damaged)
    report = check_scene(scene, None, 0)
    unseen, picture = report.problems
    assert unseen.startswith("1 timesteps have no picture, the first is 3;")
    assert picture.startswith(f'Image of view "{scene.views.names[2]}" is uint8 (39, 40, 3).')
    assert len(report.samples) == 6
    assert report.iou is None


def vhap(folder: Path) -> Path:
    """Nine pictures of noise over three timesteps."""
    data: Any = type(create("dataset", "vhap"))
    data.example(folder)
    return folder


def test_every_missing_picture_is_found_whatever_is_sampled(surfhead: Surfhead, tmp_path: Path) -> None:
    folder = vhap(tmp_path / "data")
    report = check_scene(create("dataset", "vhap").open(folder), None, 1)
    assert (report.problems, report.facts["files"]) == ([], "18, looked for one by one")
    assert report.facts["decoded"] == "1 of 1 sampled views without an error"
    (folder / "images" / "00001_02.png").unlink()
    (folder / "fg_masks" / "00002_01.png").write_bytes(b"")
    scene = create("dataset", "vhap").open(folder)
    for limit in (1, 0):
        report = check_scene(scene, None, limit)
        (problem,) = report.problems
        assert problem.startswith('2 of 9 views lack a file or have an empty one; the first is view "')
        assert "00001_02.png" in problem or "00002_01.png" in problem
    assert len(report.samples) == 7


def test_not_a_number_in_any_timestep_is_named(surfhead: Surfhead, tmp_path: Path) -> None:
    folder = vhap(tmp_path / "data")
    file = folder / "flame_param" / "00002.npz"
    with np.load(file) as archive:
        fields = dict(archive)
    fields["jaw_pose"][0, 1] = np.nan
    np.savez(file, **fields)
    said = surfhead("data", "check", str(folder), "--limit", "1")
    assert (said.code, said.out) == (2, "")
    assert '00002.npz" has NaN or infinity in field "jaw_pose"' in said.err


def test_a_timestep_without_a_picture_is_told(surfhead: Surfhead, tmp_path: Path) -> None:
    folder = vhap(tmp_path / "data")
    for split in ("train", "val", "test"):
        file = folder / f"transforms_{split}.json"
        content = json.loads(file.read_text("utf-8"))
        content["frames"] = [frame for frame in content["frames"] if frame["timestep_index"] != 1]
        file.write_text(json.dumps(content), encoding="utf-8")
    notes = create("dataset", "vhap").open(folder).notes
    assert "1 timesteps between the first and the last are missing: 1." in notes


def test_problems_give_exit_code_1(surfhead: Surfhead) -> None:
    tiny = ("data", "check", "--plugin", str(TINY), "--set", "data.name=tiny", "--set", "deformer=static")
    assert surfhead(*tiny).code == 0
    said = surfhead(*tiny, "--set", "data.fault=size")
    assert said.code == 1
    assert said.out.splitlines()[-1].startswith('Problem: Image of view "view-1" is uint8 (25, 24, 3).')


def test_overlap() -> None:
    first, second = np.zeros((4, 4), dtype=bool), np.zeros((4, 4), dtype=bool)
    assert overlap(first, second) == 1.0
    first[:, :2] = True
    second[:, 1:3] = True
    assert overlap(first, second) == pytest.approx(1 / 3)

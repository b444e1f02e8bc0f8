"""Runs from Python: train, resume, load, render, start from a checkpoint, and what goes wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import surfhead
from surfhead.core.config import resolve
from surfhead.core.errors import (
    ContractError,
    DataError,
    OptionError,
    ShapeError,
    SurfheadError,
    UnknownNameError,
)
from surfhead.data.feed import cameras_of
from surfhead.data.opening import open_scene
from surfhead.runs.configuration import configure
from surfhead.runs.measure import evaluate_run
from surfhead.runs.run import read_config
from surfhead.runs.train import train
from surfhead.training import checkpoint
from surfhead.training.monitoring import summary, summary_table
from surfhead.training.trainer import Trainer


def test_the_run_folder_is_complete(trained_run: Path) -> None:
    names = {p.name for p in trained_run.iterdir()}
    assert {"config.toml", "command.txt", "environment.json", "checkpoints", "metrics.jsonl", "eval"} <= names
    newest = checkpoint.latest(trained_run)
    assert newest is not None
    assert newest.name == "00000030"
    config = read_config(trained_run)
    assert config == resolve(__import__("tomllib").loads((trained_run / "config.toml").read_text()))
    assert config.deformer.name == "jbs"


def test_training_lowers_the_error_and_the_baseline_is_beside_it(trained_run: Path) -> None:
    rows = {(r["label"], r["split"]): r for r in summary(trained_run)}
    for split in ("val", "test"):  # colours start as the pictures' means, normals as the mesh's
        first, last = rows["0", split], rows["30", split]
        assert last["depth_error_mm"] < first["depth_error_mm"] - 0.5
        assert last["foreground_psnr"] > first["foreground_psnr"] + 0.1
    assert ("baseline", "val") in rows
    assert ("baseline", "test") in rows
    assert len(summary_table(trained_run).rows) >= 8


def test_an_avatar_renders_from_timesteps_and_from_parameters(trained_run: Path) -> None:
    avatar = surfhead.load_avatar(trained_run, device="cpu")
    scene = open_scene(read_config(trained_run)).scene
    cameras = cameras_of(scene, scene.views.of("val")[:2], "cpu")
    own = avatar.render(cameras, torch.tensor([0, 1]))
    assert own.output.rgb.shape == (2, 48, 48, 3)
    assert bool(torch.isfinite(own.output.rgb).all())
    given = {k: v[:2] for k, v in avatar.motion.items()}
    assert torch.equal(avatar.render(cameras, given).output.rgb, own.output.rgb)
    shared = avatar.render(cameras, 0)
    assert torch.equal(shared.output.rgb[0], own.output.rgb[0])
    parts = avatar.render(cameras, 0, parts=True).parts
    assert {"diffuse", "specular"} <= parts.keys()
    with pytest.raises(OptionError, match="outside the avatar's motion"):
        avatar.render(cameras, 10_000)
    with pytest.raises(UnknownNameError, match="expresion"):
        avatar.render(cameras, {"expresion": torch.zeros(1, 3)})
    broken = cameras.camera_from_world.clone()
    broken[0, 0, 3] = float("nan")
    with pytest.raises(ShapeError, match='"camera_from_world" holds NaN'):
        avatar.render(type(cameras)(broken, cameras.intrinsics, 48, 48), 0)


def test_evaluating_again_gives_the_same_figures(trained_run: Path, tmp_path: Path) -> None:
    again = evaluate_run(trained_run, device="cpu", out=tmp_path)
    rows = {(r["label"], r["split"]): r for r in summary(trained_run)}
    for split, result in again.items():
        assert result.means["psnr"] == pytest.approx(rows["30", split]["psnr"], abs=1e-4)


def test_an_existing_run_is_refused_and_a_missing_one_cannot_resume(
    trained_run: Path, small_settings: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="already holds a run"):
        train(preset="tiny", settings=small_settings, out=trained_run)
    with pytest.raises(DataError, match="is not a run"):
        train(out=tmp_path / "none", resume=True)


def test_a_new_run_starts_from_a_checkpoint(
    trained_run: Path, small_settings: dict[str, Any], tmp_path: Path
) -> None:
    settings = {**small_settings, "iterations": 0, "evaluate": {"at": [], "limit": 2}}
    settings |= {"appearance": {"name": "sh"}}
    out = train(preset="tiny", settings=settings, out=tmp_path / "next", start_from=trained_run)
    newest = checkpoint.latest(out)
    old = checkpoint.latest(trained_run)
    assert newest is not None
    assert old is not None
    first, second = checkpoint.read(old)[0], checkpoint.read(newest)[0]
    assert torch.equal(first["surfels/offset"], second["surfels/offset"])
    assert torch.equal(first["surfels/opacity"], second["surfels/opacity"])
    assert "surfels/specular" in first
    assert "surfels/specular" not in second


def test_a_corrupt_checkpoint_is_named(trained_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)
    newest = checkpoint.latest(run)
    assert newest is not None
    whole = (newest / checkpoint.TENSORS).read_bytes()
    (newest / checkpoint.TENSORS).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r'Checkpoint ".*00000030" is damaged'):
        surfhead.load_avatar(run, checkpoint_name="00000030")
    before = checkpoint.latest(run)
    assert before is not None
    assert before.name == "00000020"
    train(out=run, resume=True)
    assert checkpoint.latest(run) == newest


def test_a_checkpoint_names_the_plugin_it_needs(trained_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)
    newest = checkpoint.latest(run)
    assert newest is not None
    meta = json.loads((newest / checkpoint.META).read_text())
    meta["components"].append(
        {
            "kind": "deformer",
            "name": "absent",
            "package": "surfhead-absent",
            "version": "1.2",
            "file": "",
            "sha256": "",
        }
    )
    (newest / checkpoint.META).write_text(json.dumps(meta))
    with pytest.raises(ContractError) as caught:
        surfhead.load_avatar(run)
    assert str(caught.value) == (
        'This run needs deformer "absent", which is not installed.\n'
        "It came from surfhead-absent 1.2.\n"
        "Install it: pip install surfhead-absent==1.2, or, if pip does not find it, from where it was got."
    )
    meta["components"][-1] |= {"package": "", "version": ""}
    (newest / checkpoint.META).write_text(json.dumps(meta))
    with pytest.raises(ContractError) as caught:
        surfhead.load_avatar(run)
    assert str(caught.value).endswith("is not known.\nInstall the plugin that provides it.")


def test_a_plugin_file_that_changed_is_not_loaded_silently(
    small_settings: dict[str, Any], tmp_path: Path
) -> None:
    plugin = tmp_path / "plain_term.py"
    text = '''
from surfhead.core.api import Regularizer, hookimpl

class PlainTerm(Regularizer):
    """Nothing."""
    name = "plain_term"
    summary = "Nothing."
    def __call__(self, step):
        return step.output.rgb.mean() * 0.0

@hookimpl
def register_regularizers(register):
    register(PlainTerm)
'''
    plugin.write_text(text)
    settings = {
        **small_settings,
        "iterations": 4,
        "evaluate": {"limit": 1},
        "baseline": False,
        "plugins": [str(plugin)],
        "regularizers": {"plain_term": 1.0},
    }
    out = train(preset="tiny", settings=settings, out=tmp_path / "run")
    assert surfhead.load_avatar(out).images == 4
    marker = tmp_path / "executed"
    plugin.write_text(f"open({str(marker)!r}, 'w').close()\n" + text)
    for load in (lambda: surfhead.load_avatar(out), lambda: train(out=out, resume=True)):
        with pytest.raises(ContractError, match="missing or changed since the run used it"):
            load()
    assert not marker.exists(), "the changed file was executed before its hash was checked"


def test_configuration_layers_override_each_other(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('seed = 5\n[deformer]\nname = "jbs"\nrotation_blend = "paper"\n')
    config = configure(preset="fast", file=file)
    assert (config.seed, config.deformer.options) == (5, {"rotation_blend": "paper"})
    config = configure(preset="fast", file=file, settings={"deformer": {"name": "lbs"}, "seed": 6})
    assert (config.seed, config.deformer.name, dict(config.deformer.options)) == (6, "lbs", {})
    with pytest.raises(UnknownNameError, match='Unknown preset "fst".*"fast"'):
        configure(preset="fst")
    with pytest.raises(OptionError, match='Unknown option of deformer "jbs" "rotation_blnd"'):
        configure(settings={"deformer": {"rotation_blnd": "paper"}})
    with pytest.raises(DataError, match="does not exist"):
        configure(str(tmp_path / "nothing"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rasterizer": {"name": "cpus"}}, 'Unknown rasterizer "cpus". Did you mean "cpu"'),
        ({"rig": {"name": "flam"}}, 'Unknown rig "flam". Did you mean "flame"'),
        ({"observers": {"progres": {}}}, 'Unknown observer "progres". Did you mean "progress"'),
        ({"observers": {"jsonl": {"evry": 3}}}, 'Unknown option of observer "jsonl" "evry"'),
    ],
)
def test_a_wrong_name_leaves_no_folder_behind(
    settings: dict[str, Any], message: str, small_settings: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(SurfheadError) as caught:
        train(preset="tiny", settings={**small_settings, **settings}, out=tmp_path / "run")
    assert message in caught.value.what
    assert not (tmp_path / "run").exists()


def test_rig_parameters_of_the_wrong_shape_are_named(trained_run: Path) -> None:
    avatar = surfhead.load_avatar(trained_run, device="cpu")
    scene = open_scene(read_config(trained_run)).scene
    cameras = cameras_of(scene, scene.views.of("val")[:1], "cpu")
    for wrong in (torch.zeros(1, 6), torch.zeros(4), torch.zeros(2, 1, 3)):
        with pytest.raises(ShapeError, match='"jaw" has shape'):
            avatar.render(cameras, {"jaw": wrong})
    with pytest.raises(ShapeError, match="different numbers of poses: jaw 1, neck 2"):
        avatar.render(cameras, {"jaw": torch.zeros(1, 3), "neck": torch.zeros(2, 3)})
    with pytest.raises(OptionError, match="Timestep -3 is outside"):
        avatar.render(cameras, -3)


def test_data_from_disk_is_trained_on_whole_unless_held_out(
    small_settings: dict[str, Any], tmp_path: Path
) -> None:
    scene = open_scene(configure(preset="tiny", settings=small_settings)).scene
    from surfhead.core.registry import create

    create("dataset", "vhap").write(scene, tmp_path / "data")
    common = {k: v for k, v in small_settings.items() if k != "data"}
    common |= {"iterations": 2, "baseline": False, "evaluate": {"limit": 1}, "rig": {"name": "procedural"}}
    for hold_out, seen in ((None, True), (True, False)):
        out = tmp_path / f"run-{seen}"
        settings = common if hold_out is None else {**common, "hold_out": hold_out}
        train(str(tmp_path / "data"), preset="fast", settings=settings, out=out)
        assert json.loads((out / "eval" / "00000002" / "val.json").read_text())["seen"] is seen


@pytest.mark.parametrize(("debug", "wanted"), [(-1, -1), (5, 5)])
def test_a_resumed_run_can_be_debugged(
    debug: int, wanted: int, trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)
    seen = []

    def note(trainer: Trainer) -> None:
        seen.append(trainer.config.debug)
        trainer.feed.close()

    monkeypatch.setattr(Trainer, "run", note)
    train(out=run, resume=True, debug=debug)
    assert seen == [wanted]


@pytest.mark.parametrize("debug", ["x", None, 2.5])
def test_an_image_to_debug_from_is_a_number(debug: Any, trained_run: Path) -> None:
    with pytest.raises(OptionError, match='"debug"'):
        train(out=trained_run, resume=True, debug=debug)


def test_a_checkpoint_is_one_of_the_runs(trained_run: Path) -> None:
    """Not its folder, and not a path to elsewhere."""
    run = surfhead.open_run(trained_run)
    assert run.newest is not None
    assert run.checkpoint(run.newest.name) == run.newest
    for name in ("", str(trained_run), "..", 3, run):
        with pytest.raises(DataError, match="has no checkpoint"):
            run.checkpoint(name)  # type: ignore[arg-type]


def test_data_that_moved_are_looked_for_also_of_an_open_run(trained_run: Path, tmp_path: Path) -> None:
    run = surfhead.open_run(trained_run)
    _ = run.scene
    with pytest.raises(SurfheadError, match="elsewhere"):
        evaluate_run(run, splits="val", moved=tmp_path / "elsewhere", out=tmp_path)

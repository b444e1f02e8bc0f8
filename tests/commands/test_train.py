"""`surfhead train` on a tiny static scene."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from surfhead.core.registry import registry
from surfhead.training import trainer
from tests.commands.conftest import TINY, Surfhead

FILES = {"config.toml", "command.txt", "environment.json", "checkpoints", "metrics.jsonl", "eval", "log"}


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_leaves_its_folder_and_says_how_it_went(train_tiny: Surfhead, tmp_path: Path) -> None:
    said = train_tiny("--eval", "--seed", "4", "--batch-size", "1", "--regularizer", "l1=0.5")
    assert said.code == 0, said.err
    assert said.err == ""
    run = tmp_path / "run"
    assert {p.name for p in run.iterdir()} >= FILES
    config = tomllib.loads((run / "config.toml").read_text())
    assert config["preset"] == "static"
    assert (config["iterations"], config["seed"], config["hold_out"]) == (3, 4, True)
    assert config["data"] == {"name": "tiny"}
    assert config["regularizers"]["l1"]["weight"] == 0.5
    assert config["regularizers"]["dssim"]["weight"] == 0.2
    assert config["plugins"] == [str(TINY)]
    assert (run / "checkpoints" / "00000003").is_dir()
    assert "Training static + sh in run: 3 images of 24x24, 80 surfels" in said.out
    assert "val at image 3: PSNR " in said.out
    assert said.out.splitlines()[-2:] == ["Run: run", "Pictures of it in motion: surfhead render run"]


def test_quiet_says_nothing(train_tiny: Surfhead) -> None:
    said = train_tiny("--quiet")
    assert (said.code, said.out, said.err) == (0, "", "")
    assert Path("run/checkpoints/00000003").is_dir()


def test_a_config_file_is_enough_to_rebuild_a_run(train_tiny: Surfhead, surfhead: Surfhead) -> None:
    assert train_tiny("--quiet").code == 0
    said = surfhead("train", "--config", "run/config.toml", "--out", "again", "--quiet")
    assert said.code == 0, said.err
    assert Path("again/config.toml").read_text() == Path("run/config.toml").read_text()
    assert Path("again/metrics.jsonl").read_text() == Path("run/metrics.jsonl").read_text()


def test_a_new_run_can_start_from_another(train_tiny: Surfhead) -> None:
    assert train_tiny("--quiet").code == 0
    said = train_tiny("--quiet", "--out", "second", "--from", "run", "--iterations", "0")
    assert said.code == 0, said.err
    first = Path("run/checkpoints/00000003/state.safetensors")
    second = Path("second/checkpoints/00000000/state.safetensors")
    from safetensors.torch import load_file

    assert load_file(first)["surfels/offset"].equal(load_file(second)["surfels/offset"])


def test_an_existing_run_is_refused(train_tiny: Surfhead) -> None:
    assert train_tiny("--quiet").code == 0
    said = train_tiny()
    assert said.code == 2
    assert said.err == (
        '"run" already holds a run.\n'
        "Its newest checkpoint is run/checkpoints/00000003.\n"
        "Add --resume to continue it, or choose another --out.\n"
    )


def test_resuming_continues_with_the_saved_settings(
    train_tiny: Surfhead, surfhead: Surfhead, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ("--quiet", "--set", "checkpoint.every=2")
    assert train_tiny(*settings, "--out", "whole").code == 0
    interrupted = trainer.Trainer.save

    def save_then_stop(self: trainer.Trainer) -> Path:
        path = interrupted(self)
        raise KeyboardInterrupt if self.images == 2 else AssertionError(path)

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "save", save_then_stop)
        assert train_tiny(*settings).code == 130
    assert not Path("run/checkpoints/00000003").exists()
    said = train_tiny(*settings, "--resume")  # the same command again
    assert said.code == 0, said.err
    assert lines(Path("run/metrics.jsonl")) == lines(Path("whole/metrics.jsonl"))
    said = surfhead("train", "--out", "run", "--resume", "--quiet")  # finished: nothing left but to measure
    assert said.code == 0, said.err
    assert lines(Path("run/metrics.jsonl")) == lines(Path("whole/metrics.jsonl"))


def test_resuming_with_other_settings_is_refused(train_tiny: Surfhead, surfhead: Surfhead) -> None:
    assert train_tiny("--quiet").code == 0
    said = surfhead("train", "--out", "run", "--resume", "--iterations", "9", "--set", "freeze.boundary=true")
    assert said.code == 2
    assert said.err == (
        'Run "run" was started with other settings: freeze, iterations.\n'
        "--resume continues with those in run/config.toml.\n"
        "Leave these options out, or start a new run from this one with --from.\n"
    )


def test_resuming_without_a_run(surfhead: Surfhead) -> None:
    said = surfhead("train", "--resume", "--out", "nowhere")
    assert said.code == 2
    assert said.err == (
        '"nowhere" is not a run: it does not exist.\n'
        "Expected a folder made by `surfhead train`.\n"
        "Check the path; `surfhead train --out RUN` makes one.\n"
    )
    assert surfhead("train", "--resume").err == "--resume needs the run's folder.\nAdd --out RUN.\n"


@pytest.mark.parametrize("damage", ["truncated", "no tensors", "no JSON"])
def test_a_corrupt_checkpoint(train_tiny: Surfhead, surfhead: Surfhead, damage: str) -> None:
    assert train_tiny("--quiet").code == 0
    folder = Path("run/checkpoints/00000003")
    tensors = folder / "state.safetensors"
    if damage == "truncated":
        tensors.write_bytes(tensors.read_bytes()[:-9])
    elif damage == "no tensors":
        tensors.unlink()
    else:
        (folder / "state.json").write_text("{")
    for command in (("train", "--out", "run", "--resume"), ("render", "run"), ("eval", "run")):
        said = surfhead(*command)
        assert said.code == 2
        what, exists, remedy = said.err.splitlines()
        assert what.startswith('Checkpoint "run/checkpoints/00000003" is damaged or incomplete: ')
        assert exists == "Expected state.json and state.safetensors as written by `surfhead train`."
        assert remedy == "Remove this folder; --resume then continues from the checkpoint before it."


def test_an_observer_that_raises_is_switched_off_and_the_run_goes_on(train_tiny: Surfhead) -> None:
    said = train_tiny("--set", "observers.raiser={}")
    assert said.code == 0
    assert (
        'warning: Observer "raiser" raised ValueError: no ink. It is switched off; the run goes on.\n'
    ) in said.err
    assert Path("run/checkpoints/00000003").is_dir()
    assert "no ink" in Path("run/log/train.log").read_text()


ERRORS = {
    "unknown deformer": (
        ("--deformer", "jbz"),
        'Unknown deformer "jbz". Did you mean "jbs"?\n'
        "Known: jacobian, jbs, lbs, similarity, static.\n"
        "See `surfhead list deformer`.\n",
    ),
    "unknown appearance": (
        ("--appearance", "lagsg"),
        'Unknown appearance "lagsg". Did you mean "lasg"?\n'
        "Known: asg, lasg, lit, sg, sh.\n"
        "See `surfhead list appearance`.\n",
    ),
    "unknown regularizer": (
        ("--regularizer", "nromal=0.1"),
        'Unknown regularizer "nromal". Did you mean "normal"?\n'
        "Known: albedo_smoothness, blend_weight, coarse_normal, depth_smoothness, distortion, dssim, "
        "dynamic_offset, eye_opacity, l1, laplacian, mask, mesh_normal, normal, normal_length, normal_prior, "
        "offset, residual, scale, unseen.\n"
        "See `surfhead list regularizer`.\n",
    ),
    "unknown option": (
        ("--deformer", "jbs", "--set", "deformer.rotation_blnd=paper"),
        'Unknown option of deformer "jbs" "rotation_blnd". Did you mean "rotation_blend"?\n'
        "Known: rig_gradients, rotation_blend.\n"
        "See `surfhead show deformer jbs`.\n",
    ),
    "option of a wrong type": (
        ("--set", "appearance.degree=round"),
        'Option "degree" of appearance "sh" is \'round\': Input should be a valid integer, unable to parse '
        "string as an integer.\n"
        "Expected int; the default is 3.\n"
        "Set it with --set, or in the configuration file, to a value of that type.\n",
    ),
    "setting of a wrong type": (
        ("--set", "iterations=many"),
        "Option \"iterations\" of the run is 'many': Input should be a valid integer, unable to parse string "
        "as an integer.\n"
        "Expected int; the default is 30000.\n"
        "Set it with --set, or in the configuration file, to a value of that type.\n",
    ),
    "setting out of range": (
        ("--batch-size", "0"),
        'Option "batch_size" of the run is 0.\nExpected 1 to 4096; the default is 1.\n'
        "Mend --set batch_size; see `surfhead show preset base`.\n",
    ),
    "no setting": (
        ("--set", "iterations"),
        '"iterations" is not a setting.\n'
        "Expected key=value.\n"
        "For example: --set deformer.rotation_blend=paper\n",
    ),
    "no weight": (
        ("--regularizer", "normal"),
        '"normal" is not a weighted regularizer.\n'
        "Expected NAME=WEIGHT.\n"
        "For example: --regularizer normal=0.05\n",
    ),
    "unknown device": (
        ("--device", "toaster"),
        'Device "toaster" is not a device.\nExpected auto, cpu, cuda or cuda:N.\nMend --device.\n',
    ),
    "a camera with NaN": (
        ("--set", "data.fault=camera"),
        'The camera of view "view-1" holds NaN or infinity.\n'
        "Expected finite poses and intrinsics.\n"
        "Mend or remove this view.\n",
    ),
    "an image of the wrong size": (
        ("--set", "data.fault=size"),
        'Image of view "view-1" is uint8 (25, 24, 3).\n'
        "Expected uint8 (24, 24, 3) (height, width, RGB).\n"
        "Mend or remove this image.\n",
    ),
    "a rig that is missing": (
        ("--deformer", "jbs"),
        'Deformer "jbs" needs a rig, and this data set has none.\n'
        "Without a rig: static.\n"
        "Add --deformer static, or give data tracked with a head model.\n",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_bad_input(train_tiny: Surfhead, case: str) -> None:
    arguments, message = ERRORS[case]
    said = train_tiny("--quiet", *arguments)
    assert (said.code, said.out) == (2, "")
    assert said.err == message


def test_missing_data(surfhead: Surfhead, tmp_path: Path) -> None:
    said = surfhead("train", "nowhere")
    assert said.code == 2
    assert said.err == (
        f'Data set "{tmp_path / "nowhere"}" does not exist.\n'
        "Expected a folder or a file, such as a film, or no DATA at all for the built-in head.\n"
        "Check the path.\n"
    )


def test_data_nobody_recognises(surfhead: Surfhead, tmp_path: Path) -> None:
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "photo.jpg").touch()
    said = surfhead("train", "holiday")
    assert said.code == 2
    assert said.err.splitlines()[0] == f'No data set reader recognises "{tmp_path / "holiday"}".'
    assert "--set data.name=NAME" in said.err


def test_a_config_file_that_is_not_toml(surfhead: Surfhead, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text("iterations = \n")
    said = surfhead("train", "--config", "run.toml")
    assert said.code == 2
    assert said.err.startswith('Configuration file "run.toml" cannot be read: Invalid value (at line 1')


def test_an_option_the_command_does_not_have(surfhead: Surfhead) -> None:
    said = surfhead("train", "--defromer", "jbs")
    assert said.code == 2
    assert "--deformer" in said.err


def test_a_preset_whose_name_begins_with_a_dash(surfhead: Surfhead, tmp_path: Path) -> None:
    said = surfhead("train", "nowhere", "--preset", "-eyeballs")
    assert said.err.splitlines()[0] == f'Data set "{tmp_path / "nowhere"}" does not exist.'


def test_debug_from_an_image_on_is_a_setting(train_tiny: Surfhead) -> None:
    assert train_tiny("--quiet", "--debug", "2").code == 0
    assert tomllib.loads(Path("run/config.toml").read_text())["debug"] == 2


def test_avatars_are_written_at_the_counts_asked_for_and_the_last(train_tiny: Surfhead) -> None:
    said = train_tiny("--quiet", "--save_iterations", "1")
    assert said.code == 0, said.err
    assert sorted(path.name for path in Path("run/export").iterdir()) == ["00000001", "00000003"]
    assert (Path("run/export/00000001") / "point_cloud.ply").is_file()
    read = registry().create("format", "surfhead").read
    first, last = (read(Path("run/export") / name) for name in ("00000001", "00000003"))
    assert (first.images, last.images) == (1, 3)
    assert (first.parameters["opacity"] != last.parameters["opacity"]).any()


def test_no_avatar_is_written_unasked(train_tiny: Surfhead) -> None:
    assert train_tiny("--quiet").code == 0
    assert not Path("run/export").exists()


@pytest.mark.parametrize(
    ("layout", "message"),
    [("wax", 'Unknown format "wax".'), ("stone", 'Format "stone" cannot be written.')],
)
def test_a_format_that_cannot_be_written_is_told_before_training(
    train_tiny: Surfhead, monkeypatch: pytest.MonkeyPatch, layout: str, message: str
) -> None:
    Path("stone.py").write_text(
        "from surfhead.core.api import Format, hookimpl\n"
        "class Stone(Format):\n"
        "    name, summary, reads = 'stone', 'Only read.', True\n"
        "@hookimpl\n"
        "def register_formats(register):\n"
        "    register(Stone)\n"
    )
    monkeypatch.setenv("SURFHEAD_PLUGINS", "stone.py")
    said = train_tiny("--quiet", "--save_iterations", "1", "--set", f"export.format={layout}")
    assert said.code == 2
    assert said.err.startswith(message)
    assert not Path("run/checkpoints").exists()

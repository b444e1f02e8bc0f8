"""`surfhead synth`, writing with the tests' own tiny layout."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from surfhead.core.api import create
from tests.commands.conftest import TINY, Surfhead

SMALL = {
    **{"width": 32, "height": 24, "cameras": 3, "timesteps": 2, "test_timesteps": 1, "test_cameras": 1},
    **{"views_per_timestep": 2, "supersampling": 1, "detail": 1, "texels": 2},
}


@pytest.fixture
def synth(surfhead: Surfhead) -> Surfhead:
    """``synth(...)`` of a few small frames."""
    small = [f"--set=data.{key}={value}" for key, value in SMALL.items()]
    return lambda *arguments: surfhead("synth", *arguments, "--plugin", str(TINY), *small)


def test_a_data_set_is_written_in_the_chosen_layout(synth: Surfhead) -> None:
    said = synth("head", "--format", "tiny")
    assert said.code == 0, said.err
    size, rig, *names = Path("head/tiny.txt").read_text().splitlines()
    assert (size, rig) == ("32x24", "procedural")
    assert len(names) == 2 * 2 + 2 + 1  # train, val, test
    assert said.out == (
        f"{len(names)} views of 32x24 and 3 timesteps in head\nTrain on it: surfhead train head\n"
    )


def test_what_was_written_can_be_trained_on(synth: Surfhead, surfhead: Surfhead) -> None:
    assert synth("head", "--format", "vhap").code == 0
    said = surfhead("train", "head", "--preset", "tiny", "--iterations", "1", "--out", "run", "--quiet")
    assert said.code == 0, said.err
    config = tomllib.loads(Path("run/config.toml").read_text())
    assert config["data"]["name"] == "vhap"
    assert Path("run/eval/00000001/val.csv").is_file()


def test_the_preset_for_one_camera_is_named_where_there_is_one(surfhead: Surfhead) -> None:
    small = {**SMALL, "cameras": 2, "views_per_timestep": 1}  # of which one is held out
    given = [f"--set=data.{key}={value}" for key, value in small.items()]
    said = surfhead("synth", "one", "--format", "tiny", "--plugin", str(TINY), *given)
    assert said.code == 0, said.err
    assert said.out.splitlines()[-1] == "Train on it: surfhead train one --preset monocular"


def test_what_another_reader_reads_is_written(synth: Surfhead, surfhead: Surfhead) -> None:
    assert synth("head", "--format", "vhap").code == 0
    said = surfhead(
        *("synth", "copy", "--format", "vhap", "--set", "data.name=vhap", "--set", "data.path=head"),
    )
    assert said.code == 0, said.err
    first, second = (create("dataset", "vhap").open(Path(name)) for name in ("head", "copy"))
    assert second.views.names == first.views.names
    np.testing.assert_allclose(second.views.camera_from_world, first.views.camera_from_world, atol=1e-6)
    np.testing.assert_array_equal(second.frame(3).mask, first.frame(3).mask)
    for name, values in first.rig_parameters.items():
        torch.testing.assert_close(second.rig_parameters[name], values)


def test_a_folder_with_something_in_it_is_left_alone(synth: Surfhead, tmp_path: Path) -> None:
    (tmp_path / "head").mkdir()
    (tmp_path / "head" / "thesis.txt").touch()
    said = synth("head", "--format", "tiny")
    assert said.code == 2
    assert said.err == '"head" is not empty.\nExpected a new or an empty folder.\nChoose another folder.\n'


ERRORS = {
    "layout that only reads": (
        ("--format", "synthetic"),
        'Data set "synthetic" cannot be written.',
    ),
    "unknown layout": (("--format", "tini"), 'Unknown dataset "tini". Did you mean "tiny"?'),
    "unknown rig": (("--rig", "procedurral"), 'Unknown rig "procedurral". Did you mean "procedural"?'),
    "a reader without its data": (("--set", "data.name=vhap"), 'Data set "vhap" needs a path.'),
    "a rig for what has one": (
        ("--rig", "ict", "--set", "data.name=vhap", "--set", "data.path=x"),
        'A rig was named for data set "vhap".',
    ),
    "unknown table": (("--set", "date.width=3"), 'Unknown table of --set "date". Did you mean "data"?'),
    "option of a wrong type": (
        ("--set", "data.width=wide"),
        'Option "width" of dataset "synthetic" is \'wide\': Input should be a valid integer, unable to '
        "parse string as an integer.",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_bad_input(surfhead: Surfhead, case: str) -> None:
    arguments, message = ERRORS[case]
    layout = () if "--format" in arguments else ("--format", "tiny")
    said = surfhead("synth", "head", "--plugin", str(TINY), *layout, *arguments)
    assert (said.code, said.out) == (2, "")
    assert said.err.splitlines()[0] == message
    assert not Path("head").exists()

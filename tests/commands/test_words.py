"""What commands say: the first word, help at every width, choices, completion, --quiet."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from surfhead import cli
from surfhead.commands import command
from surfhead.commands import mesh as mesh_command
from surfhead.commands import render as render_command
from surfhead.terminal.console import is_quiet
from tests.commands.conftest import Surfhead

ROOT = Path(cli.__file__).parents[1]
FRAMES = re.compile("[│╭╮╰╯─]")
NAMES = [*([name] for name in cli.COMMANDS), ["data", "check"], ["rig", "import"], []]


def words(text: str) -> set[str]:
    return {word.strip(",:[]") for word in FRAMES.sub(" ", text).split()}


@pytest.mark.parametrize("names", NAMES, ids=" ".join)
def test_help_fits_every_width_without_a_broken_word(
    surfhead: Surfhead, monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    whole = words(surfhead(*names, "--help").out)
    for width in (60, 80, 100):
        monkeypatch.setenv("COLUMNS", str(width))
        said = surfhead(*names, "--help").out
        assert max(map(len, said.splitlines())) <= width
        assert words(said) - whole <= {"/"}, width


def started(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(filter(None, [environment.pop("PYTHONPATH", ""), str(ROOT)]))
    code = "import sys, surfhead.cli\nsys.exit(surfhead.cli.main())"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **environment, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", ["eval", "mesh", "doctor", "show"])
def test_the_first_word_comes_before_pytorch_is_loaded(name: str, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("import sys\nprint('here is torch', file=sys.stderr)\nsys.exit(3)\n")
    (tmp_path / "config.toml").touch()  # what is no run is told before
    arguments = {"doctor": [name], "show": [name, "rig", "flame"]}.get(name, [name, str(tmp_path)])
    said = started(*arguments, PYTHONPATH=str(tmp_path)).stderr.splitlines()
    assert said[0] == f"surfhead {name}: loading PyTorch ..."
    assert said[1] == "here is torch"


def test_commands_that_answer_at_once_have_no_first_word() -> None:
    assert started("list", "preset").stderr == ""


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("surfhead ev", {"eval"}),
        ("surfhead train --deformer j", {"jacobian", "jbs"}),
        ("surfhead show rig fl", {"flame"}),
        ("surfhead mesh run --cover f", {"full", "front"}),
        ("surfhead render run --channel alb", {"albedo"}),
    ],
)
def test_the_shell_completes(line: str, names: set[str]) -> None:
    place = str(len(line.split()) - 1)
    said = started(_SURFHEAD_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=place)
    assert set(said.stdout.split()) == names, said.stderr


def test_completion_can_be_installed(surfhead: Surfhead) -> None:
    assert "--install-completion" in surfhead("--help").out


def test_choices_are_those_of_what_they_choose() -> None:
    from surfhead.core.scene import SPLITS
    from surfhead.drawing.channels import CHANNELS
    from surfhead.results import mesh_extraction, reenactment

    assert set(render_command.CHANNELS) == set(CHANNELS)
    assert mesh_command.DEPTHS == mesh_extraction.DEPTHS
    assert mesh_command.COVERS == mesh_extraction.COVERS
    assert mesh_command.CAMERAS == mesh_extraction.CAMERAS
    assert mesh_command.COLOURS == mesh_extraction.COLOURS
    assert command.TRANSFERS == reenactment.TRANSFERS
    assert set(command.POSES) == set(reenactment.POSES)
    assert (*SPLITS, "all") == command.SPLITS


def test_quiet_is_quiet(train_tiny: Surfhead, surfhead: Surfhead) -> None:
    said = train_tiny("--quiet")
    assert (said.code, said.out, said.err) == (0, "", "")
    assert not is_quiet()  # what this process prints next is another matter
    said = surfhead("eval", "run", "--split", "train", "--quiet")
    assert (said.code, said.out, said.err) == (0, "", "")
    said = surfhead("eval", "nowhere", "--quiet")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith('"nowhere" is not a run')
    assert surfhead("eval", "run", "--split", "train").out != ""

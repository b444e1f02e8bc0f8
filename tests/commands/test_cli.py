"""The program as a whole: help, exit codes, speed."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from surfhead import __version__, cli
from surfhead.core.errors import DataError
from tests.commands.conftest import Surfhead

COMMANDS = (
    "train",
    "eval",
    "render",
    "reenact",
    "export",
    "ablate",
    "compare",
    "report",
    "list",
    "show",
    "check",
    "synth",
    "doctor",
)


def test_help_names_every_command(surfhead: Surfhead) -> None:
    said = surfhead("--help")
    assert said.code == 0
    assert all(command in said.out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_a_plugin_option_and_debug(surfhead: Surfhead, command: str) -> None:
    said = surfhead(command, "--help")
    assert said.code == 0
    assert "--plugin" in said.out
    assert "--debug" in said.out


def test_the_help_of_train_names_what_can_be_chosen(
    surfhead: Surfhead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    said = surfhead("train", "--help").out
    for option, names in {
        "--deformer": "jacobian, jbs, lbs, similarity, static.",
        "--rasterizer": "auto, cpu, cuda, torch.",
        "--preset": "+jacobian, +jbs, +lasg, -eyeballs, base, fast, monocular, paper, quality, static, "
        "tiny, vanilla.",
    }.items():
        line = next(line for line in said.splitlines() if line.startswith(f"│ {option} "))
        assert f"Choices: {names}" in line


def test_every_command_that_manuals_and_messages_name_exists(surfhead: Surfhead) -> None:
    root = Path(cli.__file__).parent
    text = "\n".join(file.read_text(encoding="utf-8") for file in root.rglob("*.py"))
    named = set(re.findall(r"`surfhead ([a-z]+)(?: (import|check)(?![a-z]))?", text))
    assert {"train", "list", "show", "check"} <= {command for command, _ in named}
    for command, below in named:
        words = [command, below] if below and command not in COMMANDS else [command]
        assert surfhead(*words, "--help").code == 0, " ".join(["surfhead", *words])


def test_every_option_that_messages_name_exists() -> None:
    root = Path(cli.__file__).parent
    own: set[str] = {"--help"}

    def gather(command: Any) -> None:
        own.update(flag for found in command.params for flag in (*found.opts, *found.secondary_opts))
        for below in getattr(command, "commands", {}).values():
            gather(below)

    gather(typer.main.get_command(cli.app))
    elsewhere = {"familiar_flags.py", "flag_table.py", "flags.py"}  # what other projects' options mean
    others = {"--build", "--no-sandbox", "--short", "--porcelain", "--untracked-files", "--logdir"}
    named: dict[str, str] = {}
    for file in root.rglob("*.py"):
        if file.name not in elsewhere:
            for line in file.read_text(encoding="utf-8").splitlines():
                named |= dict.fromkeys(re.findall(r"(?<![-\w`])--[a-z][a-z-]+(?![a-z_{])", line), file.name)
    assert {"--set", "--out"} <= set(named)
    assert {flag: file for flag, file in named.items() if flag not in own | others} == {}


def test_version(surfhead: Surfhead) -> None:
    assert surfhead("--version").out == f"surfhead {__version__}\n"


def test_the_package_is_the_program() -> None:
    """``python -m surfhead``, for those whose path lacks the script: its output and its exit code."""
    command = [sys.executable, "-m", "surfhead"]
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"surfhead {__version__}\n")
    wrong = subprocess.run([*command, "trian"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "train" in wrong.stderr


def test_unknown_command_is_suggested(surfhead: Surfhead) -> None:
    said = surfhead("trian")
    assert said.code == 2
    assert "train" in said.err


def test_an_error_is_three_lines_and_a_traceback_only_on_request(surfhead: Surfhead) -> None:
    plain = surfhead("show", "deformer", "jbz")
    assert (plain.code, plain.out) == (2, "")
    assert plain.err == (
        'Unknown deformer "jbz". Did you mean "jbs"?\n'
        "Known: jacobian, jbs, lbs, similarity, static.\n"
        "See `surfhead list deformer`.\n"
    )
    debug = surfhead("show", "deformer", "jbz", "--debug")
    assert debug.code == 2
    assert debug.err.startswith("Traceback")
    assert debug.err.endswith(plain.err)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["train", ""], "DATA"),
        (["train", "--preset", "tiny", "--out", ""], "--out"),
        (["train", "--out=", "--preset=tiny"], "--out"),
        (["eval", ""], "RUN"),
        (["compare", "a", ""], "RUNS"),
        (["synth", ""], "OUT"),
    ],
)
def test_a_variable_of_the_shell_that_is_not_set_names_no_folder(
    surfhead: Surfhead, words: list[str], named: str
) -> None:
    """An empty word would mean the folder we are in."""
    said = surfhead(*words)
    assert said.code == 2
    assert said.err.splitlines()[-3:] == [
        f"{named} is empty.",
        "Expected a path; a shell variable that is not set gives none.",
        'Write "." for the folder you are in.',
    ]
    assert list(Path().iterdir()) == []


def test_an_interruption_exits_with_130(surfhead: Surfhead, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.typer.main, "get_command", lambda app: interrupt)
    assert surfhead("list").code == 130


def test_a_defect_is_not_dressed_up_as_a_user_error(
    surfhead: Surfhead, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli.typer.main, "get_command", lambda app: fail)
    with pytest.raises(ZeroDivisionError):
        surfhead("list")


def test_an_error_without_a_list_has_no_empty_line(
    surfhead: Surfhead, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise DataError("It failed.", "", "Try again.")

    monkeypatch.setattr(cli.typer.main, "get_command", lambda app: fail)
    assert surfhead("list").err == "It failed.\nTry again.\n"


@pytest.mark.parametrize(
    ("given", "understood"),
    [
        (["train", "--debug"], ["train", "--debug=0"]),
        (["train", "--debug", "--quiet"], ["train", "--debug=0", "--quiet"]),
        (["train", "--debug", "500"], ["train", "--debug", "500"]),
        (["train", "--debug=7"], ["train", "--debug=7"]),
    ],
)
def test_debug_takes_an_optional_number(given: list[str], understood: list[str]) -> None:
    assert cli.with_debug_value(given) == understood


@pytest.mark.parametrize(
    "arguments", [["--help"], ["list", "--json"], ["list", "preset"], ["train", "--help"]]
)
def test_looking_around_is_quick_and_imports_no_torch(arguments: list[str]) -> None:
    code = (
        "import sys, surfhead.cli\n"
        f"code = surfhead.cli.main({arguments!r})\n"
        "heavy = {'torch', 'numpy', 'kornia', 'trimesh'} & set(sys.modules)\n"
        "print('heavy:', sorted(heavy), file=sys.stderr)\n"
        "sys.exit(code or bool(heavy))\n"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    if "--json" in arguments:
        assert json.loads(done.stdout)["problems"] == []
    # processor time rather than the clock, which other programs slow down
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0

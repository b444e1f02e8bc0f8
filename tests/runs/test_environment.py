"""Every variable of the environment that is read, with values without sense: declared errors, or no harm."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from surfhead import cli
from surfhead.core.cache import cache_folder
from surfhead.core.errors import OptionError, UnknownNameError
from surfhead.core.registry import Registry
from surfhead.kernels import choices, cpu
from surfhead.plugins.rigs.procedural.cache import cached_tensors
from surfhead.runs import launch, trust
from surfhead.training.ranks import VARIABLES, told

SENSELESS = (
    "nonsense",
    "9" * 5000,
    "-1",
    "nan",
    "a/" * 3000,
    "~nobody-at-all/x",
    "\udcff\n\x1b[2J",
    "/dev/full",
)
TESTED = {
    "SURFHEAD_CACHE",
    "SURFHEAD_INSTRUCTION_SET",
    "SURFHEAD_PLAIN",
    "SURFHEAD_PLUGINS",
}


def test_no_variable_is_left_out() -> None:
    package = Path(cli.__file__).parent
    found = {
        name
        for path in package.rglob("*.py")
        for name in re.findall(r"SURFHEAD_[A-Z_]+", path.read_text(encoding="utf-8"))
    }
    assert found == TESTED


@pytest.mark.parametrize("value", SENSELESS)
def test_forms_that_there_are_not(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(choices.ENVIRONMENT, f"rig, {value}")
    with pytest.raises(UnknownNameError, match=f"Mend .{choices.ENVIRONMENT}"):
        choices.chosen("highlight")


@pytest.mark.parametrize("value", SENSELESS)
def test_instructions_that_there_are_not(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "instruction_sets", lambda: ["avx2", "baseline"])
    monkeypatch.setenv(cpu.ENVIRONMENT, value)
    with pytest.raises(UnknownNameError, match=f"Mend .{cpu.ENVIRONMENT}"):
        cpu.instruction_set()


@pytest.mark.parametrize("value", SENSELESS)
def test_plugins_that_there_are_not(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SURFHEAD_PLUGINS", value)
    found = Registry().discover()
    assert len(found.problems) == 1
    assert "no plugin file" in found.problems[0].reason


@pytest.mark.parametrize("value", SENSELESS)
def test_a_cache_that_cannot_be_costs_only_time(
    value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SURFHEAD_CACHE", value)
    if value.startswith("~"):
        with pytest.raises(OptionError, match="Set .SURFHEAD_CACHE"):
            cache_folder()
        return
    assert str(cache_folder()) == str(Path(value))
    assert cli.main(["doctor"]) == 0
    assert cached_tensors(lambda: {"a": torch.ones(2)})["a"].sum() == 2


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    for name in ("SURFHEAD_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA", "XDG_CONFIG_HOME", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(OptionError, match="Could not determine home"):
        cache_folder()
    assert trust.trusted() == set()
    trust.remember("0" * 64, "plugin.py")  # asked about again next time


@pytest.mark.parametrize("name", VARIABLES[:3])
@pytest.mark.parametrize("value", ["", "many", "-1", "9" * 5000, "1e3", "2.0", "7"])
def test_processes_that_cannot_be(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if (name, value) == ("WORLD_SIZE", "7"):
        return
    for variable in VARIABLES:
        monkeypatch.setenv(variable, "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert told() == (0, 2, 0)
    monkeypatch.setenv(name, value)
    for ask in (told, launch.started_first, launch.started_together):
        with pytest.raises(OptionError, match="unset RANK") as caught:
            ask()
        assert max(map(len, str(caught.value).splitlines())) < 200

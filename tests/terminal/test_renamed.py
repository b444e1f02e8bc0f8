"""Old names of what is public: they work on, say so, and are gone when they said."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import typer

import surfhead as package
from surfhead import cli
from surfhead.core import api
from surfhead.core.config import RIG_KEYS, Exports, Freeze, Occasions, RunConfig
from surfhead.core.hookspecs import KINDS
from surfhead.core.registry import registry
from surfhead.runs.layers import preset_names
from surfhead.terminal import renamed
from surfhead.terminal.renamed import Renamed
from tests.commands.conftest import surfhead

__all__ = ["surfhead"]

ROOT = Path(__file__).resolve().parents[2]
ROW = Renamed("open_run", "0.4")


def test_an_old_name_of_the_package_is_the_new_one_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(renamed.OF_PACKAGE, "read_run", ROW)
    words = '^"surfhead.read_run" is called "surfhead.open_run" now; the old name is gone with version 0.4.$'
    with pytest.warns(DeprecationWarning, match=words) as heard:
        found = package.read_run  # type: ignore[attr-defined]
    assert found is package.open_run
    assert [row.filename for row in heard] == [__file__]  # where it is used
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _ = package.open_run


def test_an_old_name_of_the_plugin_interface_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(renamed.OF_PLUGINS, "Warp", Renamed("Deformer", "0.4"))
    with pytest.warns(DeprecationWarning, match='"surfhead.core.api.Deformer" now; .* version 0.4') as heard:
        assert api.Warp is api.Deformer  # type: ignore[attr-defined]
    assert [row.filename for row in heard] == [__file__]
    assert "Warp" not in dir(api)
    assert not {"present", "OF_PLUGINS"} & {*dir(api)}
    with pytest.raises(AttributeError, match="Wrap"):
        _ = api.Wrap  # type: ignore[attr-defined]


@pytest.mark.parametrize("words", [["--tell"], ["--kept=lost.py", "--tell"]])
def test_an_old_option_is_the_new_one_with_a_note(
    surfhead: Any, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    table = {"--tell": Renamed("--json", "0.4"), "--kept": Renamed("--plugin", "0.4")}
    monkeypatch.setitem(renamed.OF_OPTIONS, "list", table)
    said = surfhead("list", *words[-1:])
    assert said.code == 0
    assert json.loads(said.out)
    assert said.err == 'note: "--tell" is called "--json" now; the old name is gone with version 0.4.\n'
    said = surfhead("list", *words)
    assert ("lost.py" in said.out + said.err) == (len(words) == 2)  # the value goes with the option
    assert surfhead("show", "--tell").code == 2  # it is an option of one command


def test_an_old_option_of_training_too(surfhead: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(renamed.OF_OPTIONS, "train", {"--images": Renamed("--iterations", "0.4")})
    said = surfhead("train", "--images", "few")
    assert said.code == 2
    assert said.err.startswith('note: "--images" is called "--iterations" now; ')
    assert said.err.count("note:") == 1
    assert "Invalid value for '--iterations'" in said.err


def test_the_tables_keep_the_policy() -> None:
    """What is new is there, what is old is not, it has a minor version to go, and the changelog says so."""
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for table, there in ((renamed.OF_PACKAGE, dir(package)), (renamed.OF_PLUGINS, dir(api))):
        check(table, there, changes)
    for command, table in renamed.OF_OPTIONS.items():
        parameters = typer.main.get_command(cli.app).commands[command].params  # type: ignore[attr-defined]
        check(table, [name for parameter in parameters for name in parameter.opts], changes)
    for kind, table in renamed.OF_COMPONENTS.items():
        check(table, registry().names(kind), changes)
    for (kind, name), table in renamed.OF_COMPONENT_OPTIONS.items():
        component: Any = registry().get(kind, name)
        check(table, [*component.Options.__dataclass_fields__], changes)
    check(renamed.OF_PRESETS, preset_names(), changes)
    check(renamed.OF_SETTINGS, settings(), changes)


def settings() -> list[str]:
    """A run's own settings, as --set has them."""
    sections = {"freeze": Freeze, "evaluate": Occasions, "checkpoint": Occasions, "export": Exports}
    inner = [f"{name}.{key}" for name, section in sections.items() for key in section.__dataclass_fields__]
    return [*RunConfig.__dataclass_fields__, *inner, *(f"rig.{key}" for key in RIG_KEYS)]


def check(table: dict[str, Renamed], there: list[str], changes: str) -> None:
    version = tuple(map(int, package.__version__.split(".")[:2]))
    for old, (new, gone) in table.items():
        assert new in there, new
        assert old not in there, old
        assert tuple(map(int, gone.split("."))) > version, f"{old} should be gone"
        assert f"`{old}`" in changes, old


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"old": Renamed("evaluate.never", "0.4")}, "never"),
        ({"rig.train": Renamed("baseline", "0.4")}, "rig.train"),
        ({"evaluate.often": Renamed("evaluate.every", "0.4")}, "often"),
    ],
)
def test_a_setting_against_the_policy_is_found(row: dict[str, Renamed], fault: str) -> None:
    with pytest.raises(AssertionError, match=fault):
        check(row, settings(), "- `old` is called `iterations` now.")


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"old": Renamed("nothing", "0.4")}, "nothing"),
        ({"train": Renamed("open_run", "0.4")}, "train"),
        ({"old": Renamed("open_run", "0.2")}, "should be gone"),
        ({"unsaid": Renamed("open_run", "0.4")}, "unsaid"),
    ],
)
def test_a_row_against_the_policy_is_found(row: dict[str, Renamed], fault: str) -> None:
    with pytest.raises(AssertionError, match=fault):
        check(row, dir(package), "- `old` is called `open_run` now.")


def test_a_kind_that_there_is_not_has_no_old_names(surfhead: Any, tmp_path: Path) -> None:
    assert tuple(KINDS) == renamed.KINDS
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from surfhead.terminal.renamed import rename\n\nrename('deformers', 'stiff', 'rigid', gone='2.0')\n"
    )
    said = surfhead("list", "--plugin", plugin)
    assert "mine.py" in said.out
    assert 'there is no kind "deformers", only deformer, appearance,' in " ".join(said.out.split())
    assert "deformers" not in renamed.OF_COMPONENTS

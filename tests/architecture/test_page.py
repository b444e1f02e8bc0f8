"""docs/architecture.md names the rooms that are there, in the order of the contract, and files that exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ROW = r"^\| ((?:`\w+/`(?:, )?)+) \| (.+) \|$"  # of the table of rooms


@pytest.mark.parametrize("page", [PAGE, CONTRIBUTING], ids=["architecture", "contributing"])
def test_the_table_of_rooms_is_the_contracts(page: str) -> None:
    """Every layer has its row, from the top down."""
    rows = re.findall(ROW, page, re.MULTILINE)
    table = [set(re.findall(r"`(\w+)/`", row)) for row, _ in rows]
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    assert table == [set(layer.split(" | ")) for layer in layers if layer not in ("__main__", "cli")]


def test_both_tables_say_the_same() -> None:
    """Word for word; CONTRIBUTING stays short enough to be read."""
    assert re.findall(ROW, PAGE, re.MULTILINE) == re.findall(ROW, CONTRIBUTING, re.MULTILINE)
    assert len(CONTRIBUTING.splitlines()) <= 60


def test_every_folder_has_a_row_or_is_named() -> None:
    """Nothing of the package is left out."""
    package = ROOT / "surfhead"
    folders = {path.name for path in package.iterdir() if path.is_dir() and not path.name.startswith("_")}
    assert folders <= set(re.findall(r"`(\w+)/`", PAGE))


def test_the_files_it_names_exist() -> None:
    """Of the package or of the repository."""
    named = re.findall(r"`([\w/]+\.(?:py|md|toml))`", PAGE)
    assert len(named) > 15
    assert [
        name for name in named if not ((ROOT / "surfhead" / name).exists() or (ROOT / name).exists())
    ] == []

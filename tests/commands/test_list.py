"""`surfhead list`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from surfhead.core.hookspecs import KINDS
from surfhead.core.registry import registry
from tests.commands.conftest import TINY, Surfhead

BROKEN = "import surfhead\nraise RuntimeError('out of cheese')\n"
JBS = """
from surfhead.core.api import hookimpl

@hookimpl
def register_deformers(register):
    register("jbs", "another.module:Jbs", "Mine.")
"""


def test_a_pipe_is_100_columns_wide_unless_it_is_said(
    surfhead: Surfhead, monkeypatch: pytest.MonkeyPatch
) -> None:
    widest = max(map(len, surfhead("list").out.splitlines()))
    assert 80 < widest <= 100
    for width in (120, 140):
        monkeypatch.setenv("COLUMNS", str(width))
        lines = surfhead("list").out.splitlines()
        assert 100 < max(map(len, lines)) <= width


def test_it_lists_every_registration_with_its_summary_and_origin(
    surfhead: Surfhead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")  # no summary is folded, whatever plugins are installed
    listed = json.loads(surfhead("list", "--json").out)
    assert listed["problems"] == []
    rows = listed["components"]
    assert {row["kind"] for row in rows} <= set(KINDS)
    assert [(r["kind"], r["name"], r["summary"]) for r in rows] == [
        (r.kind, r.name, r.summary) for r in registry().registrations()
    ]
    assert {row["origin"] for row in rows} <= {"built-in", "entry point"}
    table = surfhead("list").out
    for row in rows:
        assert row["name"] in table
        assert row["summary"] in " ".join(table.split())


def test_one_kind_only(surfhead: Surfhead) -> None:
    rows = json.loads(surfhead("list", "deformer", "--json").out)["components"]
    assert [row["name"] for row in rows] == registry().names("deformer")


def test_a_plugin_file_appears_with_its_path(surfhead: Surfhead) -> None:
    rows = json.loads(surfhead("list", "dataset", "--json", "--plugin", str(TINY)).out)["components"]
    row = next(row for row in rows if row["name"] == "tiny")
    assert row["origin"] == "file"
    assert row["file"] == str(TINY)
    assert row["summary"] == "Eighty points."


def test_presets_are_listed_with_their_descriptions(surfhead: Surfhead) -> None:
    said = surfhead("list", "preset")
    assert said.code == 0
    for line in ("fast", "The built-in head on a laptop in minutes", "vanilla", "+lasg"):
        assert line in said.out


def test_an_unknown_kind_is_suggested(surfhead: Surfhead) -> None:
    said = surfhead("list", "deformers")
    assert (said.code, said.out) == (2, "")
    assert said.err == (
        'Unknown kind "deformers". Did you mean "deformer"?\n'
        "Known: appearance, dataset, deformer, densifier, format, observer, rasterizer, regularizer, rig.\n"
        "Choose one of these kinds.\n"
    )


def test_a_broken_plugin_is_reported_below_the_table(
    surfhead: Surfhead, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "broken.py"
    file.write_text(BROKEN)
    monkeypatch.setenv("SURFHEAD_PLUGINS", str(file))
    said = surfhead("list")
    assert said.code == 0
    assert "jbs" in said.out
    problem, place = said.out.splitlines()[-2:]
    assert problem.startswith(f'Broken plugin "{file}": ')
    assert "RuntimeError: out of cheese" in problem
    assert place == f"  at {file}"


def test_a_broken_plugin_of_the_command_line_is_reported_and_stops_other_commands(
    surfhead: Surfhead, tmp_path: Path
) -> None:
    file = tmp_path / "broken.py"
    file.write_text(BROKEN)
    for command in ("list", "doctor"):
        said = surfhead(command, "--plugin", str(file), "--plugin", str(TINY))
        assert said.code == 0, said.err
        assert "RuntimeError: out of cheese" in said.out
        assert f"  at {file}" in said.out.splitlines()
    assert "tiny" in surfhead("list", "dataset", "--plugin", str(file), "--plugin", str(TINY)).out
    (problem,) = json.loads(surfhead("list", "--json", "--plugin", str(file)).out)["problems"]
    assert problem["file"] == str(file)
    said = surfhead("show", "deformer", "jbs", "--plugin", str(file))
    assert (said.code, said.out) == (2, "")
    assert "out of cheese" in said.err


def test_brackets_in_texts_are_printed_as_they_are(surfhead: Surfhead, tmp_path: Path) -> None:
    file = tmp_path / "bracket.py"
    file.write_text(
        JBS.replace('"jbs"', '"odd"').replace("Mine.", "Mine, [bold]loud[/bold] :smile: [cuda13].")
    )
    said = surfhead("list", "deformer", "--plugin", str(file))
    assert "Mine, [bold]loud[/bold] :smile: [cuda13]." in said.out


def test_two_plugins_with_one_name_are_reported_with_both_files(surfhead: Surfhead, tmp_path: Path) -> None:
    file = tmp_path / "rival.py"
    file.write_text(JBS)
    said = surfhead("list", "--plugin", str(file))
    assert said.code == 0
    problem, place = said.out.splitlines()[-2:]
    assert problem.startswith('Broken plugin "jbs": Two plugins register deformer "jbs": surfhead (')
    assert str(file) in place
    assert "deformers/__init__.py" in place

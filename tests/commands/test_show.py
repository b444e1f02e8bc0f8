"""`surfhead show`."""

from __future__ import annotations

import dataclasses
import tomllib

import pytest

from surfhead.commands.show import flowing
from surfhead.core.hookspecs import KINDS
from surfhead.core.registry import registry
from surfhead.runs.layers import merge, preset, preset_names
from tests.commands.conftest import TINY, Surfhead


@pytest.mark.parametrize("kind", KINDS)
def test_every_component_can_be_shown_with_manual_options_and_source(surfhead: Surfhead, kind: str) -> None:
    for name in registry().names(kind):
        said = surfhead("show", kind, name)
        assert said.code == 0, said.err
        cls = registry().get(kind, name)
        text = " ".join(said.out.split())
        assert text.startswith(f"{kind} {name}: {cls.summary}")
        for field in dataclasses.fields(cls.Options):
            assert field.name in text
        assert text.endswith(".py")


def test_options_have_type_default_and_description(surfhead: Surfhead) -> None:
    out = surfhead("show", "observer", "jsonl").out
    row = next(line for line in out.splitlines() if line.strip().startswith("every"))
    assert row.split()[:3] == ["every", "int", "100"]
    assert "Images between two lines of losses" in row
    assert "at least 1" in row


def test_bounds_are_shown(surfhead: Surfhead) -> None:
    lines = surfhead("show", "densifier", "adaptive").out.splitlines()
    (row,) = (line for line in lines if line.strip().startswith("reset_opacity"))
    assert "more than 0, less than 1" in " ".join(row.split())


def test_the_manual_is_the_modules_docstring(surfhead: Surfhead) -> None:
    out = surfhead("show", "dataset", "tiny", "--plugin", str(TINY)).out
    assert "a static scene of 80 points seen by four cameras" in out
    assert out.splitlines()[-1] == f"Source: {TINY}"


def test_a_manual_flows_and_keeps_lists_and_examples() -> None:
    manual = "One\ntwo.\n\n::\n\n    a  b\n    c\n\nPoints::\n- ``x``, which\n  is long\n- y\n\nEnd."
    assert flowing(manual) == "One two.\n\n    a  b\n    c\n\nPoints:\n- `x`, which is long\n- y\n\nEnd."


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_is_shown_as_the_settings_it_amounts_to(surfhead: Surfhead, name: str) -> None:
    said = surfhead("show", "preset", name)
    assert said.code == 0
    title, _, text = said.out.partition("\n")
    assert title.startswith(f"preset {name}: ")
    assert merge({}, tomllib.loads(text)) == preset(name)


def test_an_unknown_preset_is_suggested(surfhead: Surfhead) -> None:
    said = surfhead("show", "preset", "fats")
    assert said.code == 2
    assert said.err.splitlines()[0] == 'Unknown preset "fats". Did you mean "fast"?'

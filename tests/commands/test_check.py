"""`surfhead check`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.conftest import Surfhead

NEGATIVE = """
from surfhead.core.api import Regularizer, hookimpl

class Negative(Regularizer):
    name = "negative"
    summary = "Below zero."

    def __call__(self, step):
        return -step.output.rgb.square().mean()

class Elsewhere(Negative):
    name = "elsewhere"

    @classmethod
    def available(cls):
        return "it needs the sea"

@hookimpl
def register_regularizers(register):
    register(Negative)
    register(Elsewhere)
"""


@pytest.fixture
def plugin(tmp_path: Path) -> str:
    """A plugin file with a regularizer that breaks its contract, and one that cannot run."""
    file = tmp_path / "negative.py"
    file.write_text(NEGATIVE)
    return str(file)


def test_a_component_that_keeps_its_contract(surfhead: Surfhead) -> None:
    said = surfhead("check", "regularizer", "l1")
    assert said.code == 0, said.out
    *lines, last = said.out.splitlines()
    assert all(line.startswith("pass  ") for line in lines)
    assert last == f"{len(lines)} of {len(lines)} promises kept by regularizer l1."


def test_a_component_that_breaks_its_contract(surfhead: Surfhead, plugin: str) -> None:
    said = surfhead("check", "regularizer", "negative", "--plugin", plugin)
    assert said.code == 1
    lines = said.out.splitlines()
    failed = next(i for i, line in enumerate(lines) if line.startswith("FAIL  gives_scalar: "))
    assert lines[failed + 1].strip().startswith("ContractError: ")
    assert "Traceback" not in said.err
    debug = surfhead("check", "regularizer", "negative", "--plugin", plugin, "--debug")
    assert "Traceback" in debug.err


def test_a_component_that_cannot_run_here(surfhead: Surfhead, plugin: str) -> None:
    said = surfhead("check", "regularizer", "elsewhere", "--plugin", plugin)
    assert said.code == 2
    assert said.err == (
        'regularizer "elsewhere" cannot run here: it needs the sea\nCheck it on a machine where it can.\n'
    )


def test_an_unknown_component(surfhead: Surfhead) -> None:
    assert surfhead("check", "regularizer", "l3").err.startswith('Unknown regularizer "l3".')

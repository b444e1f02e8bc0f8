"""`surfhead ablate` on the tiny static scene."""

from __future__ import annotations

from pathlib import Path

import pytest

from surfhead.core import checkpoint
from tests.commands.conftest import TINY, Surfhead

GRID = (
    *("ablate", "--plugin", str(TINY), "--set", "data.name=tiny", "--preset", "static", "--out", "grid"),
    *("--set", "rasterizer=torch", "--set", "device=cpu", "--iterations", "2", "--threads", "1"),
)


def test_a_grid_is_run_compared_and_finished_where_it_failed(surfhead: Surfhead) -> None:
    # jbs fails on a scene without a rig; the others go on
    arguments = (*GRID, "--deformer", "static,jbs", "--seeds", "1")
    said = surfhead(*arguments, "--jobs", "2")
    assert said.code == 1
    assert "2 runs in grid" in said.out
    assert 'jbs, seed 0: failed: Deformer "jbs" needs a rig' in said.out
    assert checkpoint.latest(Path("grid/static-seed0")) is not None
    table = Path("grid/table.md").read_text()
    assert "| val | static | 1 |" in table
    assert "jbs" not in table
    assert {p.name for p in Path("grid").glob("table.*")} == {"table.csv", "table.md", "table.tex"}
    again = surfhead(*GRID, "--deformer", "static", "--seeds", "2")
    assert again.code == 0
    assert "1 of them had finished before." in again.out
    assert "| val | static | 2 |" in Path("grid/table.md").read_text()


ERRORS = {
    "nothing": ((), "A grid is made of --presets, or of --deformer and --appearance."),
    "both": (
        ("--presets", "tiny", "--deformer", "jbs"),
        "A grid is made of --presets, or of --deformer and --appearance.",
    ),
    "deformer": (("--deformer", "jbs,jacobain"), 'Unknown deformer "jacobain". Did you mean "jacobian"?'),
    "preset": (("--presets", "tiny,+jbz"), 'Unknown preset "+jbz". Did you mean "+jbs"?'),
    "seeds": (("--deformer", "jbs", "--seeds", "0"), "--seeds and --jobs count something."),
}


@pytest.mark.parametrize("case", ERRORS)
def test_a_wrong_name_is_told_before_anything_runs(surfhead: Surfhead, case: str) -> None:
    arguments, message = ERRORS[case]
    said = surfhead("ablate", *arguments)
    assert (said.code, said.out) == (2, "")
    assert said.err.splitlines()[0] == message
    assert not Path("runs").exists()

"""`surfhead ablate` on the tiny static scene."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from surfhead.runs import attached
from surfhead.training import checkpoint
from tests import warm
from tests.commands.conftest import TINY, Surfhead

BASE = (
    *("ablate", "--plugin", str(TINY), "--set", "data.name=tiny", "--preset", "static", "--out", "grid"),
    *("--set", "device=cpu", "--threads", "1"),
)
GRID = (*BASE, "--iterations", "2")
LONG = 300  # images: long enough to be killed before the end


@pytest.fixture
def warm_members(monkeypatch: pytest.MonkeyPatch) -> None:
    """Members are processes that have loaded everything."""
    monkeypatch.setattr(attached, "run", warm.run)


@pytest.mark.usefixtures("warm_members")
def test_a_grid_is_run_compared_and_finished_where_it_failed(surfhead: Surfhead) -> None:
    # jbs fails on a scene without a rig; the others go on
    arguments = (*GRID, "--deformer", "jbs,static", "--seeds", "1", "--tables", "shown", "--views", "1")
    said = surfhead(*arguments, "--jobs", "2")
    assert said.code == 1
    assert "2 runs in grid" in said.out
    assert 'jbs, seed 0: failed: Deformer "jbs" needs a rig' in said.out
    assert 'Deformer "jbs" needs a rig' in Path("grid/jbs-seed0/failure.txt").read_text()
    assert checkpoint.latest(Path("grid/static-seed0")) is not None
    table = Path("shown/table.md").read_text()
    assert "| val | static |" in table
    assert "jbs" not in table
    names = {"table.csv", "table.md", "table.tex", "grid.png"}
    assert {path.name for path in Path("shown").iterdir()} == names
    sheet = np.asarray(Image.open("shown/grid.png"))
    assert sheet.shape == (18 + 4 + 4 * (24 + 18 + 4), 4 + 2 * (24 + 4), 3)  # truth and static, four rows
    done = Path("grid/static-seed0/finished.json").stat().st_mtime_ns
    again = surfhead(*GRID, "--deformer", "static", "--seeds", "2", "--views", "0")
    assert again.code == 0
    assert "1 of them had finished before." in again.out
    assert Path("grid/static-seed0/finished.json").stat().st_mtime_ns == done
    assert "| val | static | 2 |" in Path("grid/table.md").read_text()
    assert not Path("grid/grid.png").exists()
    changed = surfhead(*BASE, "--iterations", "3", "--deformer", "static", "--seeds", "1")
    assert changed.code == 2
    assert changed.err.splitlines()[0].startswith('"grid/static-seed0" was made with other arguments: ')


def wait_for(there: Callable[[], object], seconds: float = 300.0) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def test_a_killed_grid_finishes_only_what_is_missing(
    surfhead: Surfhead, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = (*BASE, "--iterations", str(LONG), "--deformer", "static", "--seeds", "2", "--views", "0")
    first, second = (Path(f"grid/static-seed{seed}") for seed in range(2))
    process = warm.Process(arguments, {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    try:
        wait_for((second / "config.toml").exists)
    finally:
        process.kill()
        process.communicate()
    # the run in hand notices, and leaves a checkpoint
    wait_for(lambda: (newest := checkpoint.latest(second)) and newest.name == checkpoint.label(newest))
    stopped = checkpoint.latest(second)
    assert stopped is not None
    assert 0 < int(stopped.name) < LONG
    assert (first / "finished.json").exists()
    assert not (second / "finished.json").exists()
    trained = {path: path.stat().st_mtime_ns for path in first.rglob("*") if path.is_file()}
    monkeypatch.setattr(attached, "run", warm.run)
    again = surfhead(*arguments)
    assert again.code == 0, again.out + again.err
    assert "1 of them had finished before." in again.out
    assert {path: path.stat().st_mtime_ns for path in first.rglob("*") if path.is_file()} == trained
    steps = [json.loads(line)["images"] for line in (second / "metrics.jsonl").read_text().splitlines()]
    assert steps[-1] == LONG
    assert stopped.is_dir()  # it went on from there
    assert "| val | static | 2 |" in Path("grid/table.md").read_text()


ERRORS = {
    "nothing": ((), "A grid is made of --presets, or of --deformer and --appearance."),
    "both": (
        ("--presets", "tiny", "--deformer", "jbs"),
        "A grid is made of --presets, or of --deformer and --appearance.",
    ),
    "deformer": (("--deformer", "jbs,jacobain"), 'Unknown deformer "jacobain". Did you mean "jacobian"?'),
    "preset": (("--presets", "tiny,+jbz"), 'Unknown preset "+jbz". Did you mean "+jbs"?'),
    "seeds": (("--deformer", "jbs", "--seeds", "0"), '"seeds" is 0.'),
    "views": (("--deformer", "jbs", "--views", "-1"), '"views" is -1.'),
}


@pytest.mark.parametrize("case", ERRORS)
def test_a_wrong_name_is_told_before_anything_runs(surfhead: Surfhead, case: str) -> None:
    arguments, message = ERRORS[case]
    said = surfhead("ablate", *arguments)
    assert (said.code, said.out) == (2, "")
    assert said.err.splitlines()[0] == message
    assert not Path("runs").exists()

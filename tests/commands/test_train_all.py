"""`surfhead train-all`, and the options that say where the runs of a grid run."""

from __future__ import annotations

from pathlib import Path

import pytest

from surfhead.runs import attached
from surfhead.training import checkpoint
from tests import warm
from tests.commands.conftest import TINY, Surfhead

BASE = ("--plugin", str(TINY), "--preset", "static", "--iterations", "2")


def test_an_avatar_for_each_folder(surfhead: Surfhead, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of three cannot be trained; the others are, and are in the table."""
    monkeypatch.setattr(attached, "run", warm.run)
    for name in ("anna", "ben", "none"):
        Path(name).mkdir()
        (Path(name) / ("tiny.txt" if name != "none" else "else.txt")).touch()
    arguments = ("train-all", "anna", "ben", "none", *BASE, "--eval", "--out", "all")
    said = surfhead(*arguments, "--jobs", "3", "--threads", "1", "--device", "cpu")
    assert said.code == 1
    assert "3 runs in all" in said.out
    assert "none, seed 0: failed: " in said.out
    table = Path("all/table.md").read_text()
    assert "| val | anna |" in table
    assert "| val | ben |" in table
    assert "none" not in table
    assert checkpoint.latest(Path("all/anna")) is not None
    again = surfhead("train-all", "anna", "ben", *BASE, "--eval", "--out", "all")
    assert again.code == 0
    assert "2 of them had finished before." in again.out


ERRORS = {
    "missing": (("train-all", "nowhere"), 'There is no data set "nowhere".'),
    "empty": (("train-all", "empty"), 'Data set "empty" is an empty folder.'),
    "one of them empty": (("train-all", "a/same", "empty"), 'Data set "empty" is an empty folder.'),
    "unknown": (("train-all", "b/same"), 'No data set reader recognises "'),
    "twice": (("train-all", "a/same", "b/same"), 'Two data sets are called "same": '),
    "cluster": (("train-all", "a/same", "--cluster", "slurm"), 'There is no cluster "slurm".'),
    "cpus": (("train-all", "a/same", "--cpus", "2"), "--cpus is for runs on a cluster."),
    "jobs": (
        ("ablate", "--deformer", "jbs", "--cluster", "ray", "--jobs", "2"),
        "--jobs is for runs on this",
    ),
    "retries": (("train-all", "a/same", "--cluster", "ray", "--retries", "-1"), '"retries" is -1.'),
    "threads": (("train-all", "a/same", "--threads", "0"), '"threads" is 0.'),
}


@pytest.mark.parametrize("case", ERRORS)
def test_what_cannot_be_is_told_before_anything_runs(surfhead: Surfhead, case: str) -> None:
    arguments, message = ERRORS[case]
    for folder in ("a/same", "b/same"):
        Path(folder).mkdir(parents=True)
    Path("a/same/canonical_flame_param.npz").touch()  # by which a reader knows it
    Path("b/same/notes.txt").touch()
    Path("empty").mkdir()
    said = surfhead(*arguments)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(message)
    assert len(said.err.splitlines()) == 3

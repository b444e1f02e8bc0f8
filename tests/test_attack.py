"""The short form of the standing campaign, `python -m benchmarks.attack`."""

from __future__ import annotations

import random
from pathlib import Path

from benchmarks.attack.clients import clients
from benchmarks.attack.mutants import mutants


def test_mutated_files_raise_declared_errors_only(tmp_path: Path) -> None:
    rows = mutants(800, tmp_path, random.Random(1))
    assert sum(row.tried for row in rows) == 800
    assert [row for row in rows if row.bad] == []


def test_hostile_clients_are_refused() -> None:
    (row,) = clients()
    assert (row.tried, row.bad) == (6, 0)

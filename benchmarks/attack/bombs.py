"""Files that promise more than they hold."""

from __future__ import annotations

from pathlib import Path

from benchmarks.attack.rows import Row


def bombs(folder: Path) -> list[Row]:
    """The suite's bombs; the note is the largest memory over the process's idle."""
    from tests.test_bombs import MOST, measured

    found = measured(folder)
    bad = sum(memory > MOST or error not in ("refused", "nothing") for error, memory in found.values())
    name, (_, most) = max(found.items(), key=lambda row: row[1][1])
    return [Row("bombs", len(found), bad, f"at most {most / 1e6:.0f} MB ({name})")]

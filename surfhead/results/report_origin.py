"""Where a report's run comes from: date, duration, machine, commit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surfhead.files.bounds import read_json
from surfhead.terminal.sizes import duration


def origin_of(run: Path) -> list[tuple[str, str]]:
    """What a run's record says of its making, as (what, value); older runs say less."""
    try:
        found: Any = read_json(run / "environment.json", 1 << 24)
    except (OSError, ValueError, RecursionError):
        return []
    record: Mapping[str, Any] = found if isinstance(found, dict) else {}
    packages = record.get("packages")
    versions: Mapping[str, Any] = packages if isinstance(packages, dict) else {}
    seconds = record.get("seconds")
    commit = str(record.get("commit") or "")
    source = f"{versions.get('surfhead', '')}{f', commit {commit}' if commit else ''}"
    rows = [
        ("begun", f"{record['date']} UTC" if record.get("date") else ""),
        ("trained for", duration(float(seconds)) if isinstance(seconds, (int, float)) else ""),
        ("machine", str(record.get("gpu") or record.get("processor") or record.get("platform") or "")),
        ("surfhead", source),
        ("torch", str(versions.get("torch", ""))),
    ]
    return [(what, value) for what, value in rows if value]

"""When, where and from which sources a run was made, for its record."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

CPUS = Path("/proc/cpuinfo")


def now() -> str:
    """The date and time of day in UTC, such as ``2026-03-01 14:05``."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M")


def processor() -> str:
    """The processor's name and how many cores it shows."""
    name = platform.processor() or platform.machine()
    try:
        named = [
            line for line in CPUS.read_text(encoding="utf-8").splitlines() if line.startswith("model name")
        ]
        name = named[0].partition(":")[2].strip() or name
    except (OSError, UnicodeDecodeError, IndexError):
        pass  # another system than Linux
    return f"{name}, {os.cpu_count() or 1} cores"


def commit() -> str:
    """The commit of the sources that run, with ``+`` where they have changed since; empty where unknown."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return ""
    told = [_git(folder, "rev-parse", "--short=12", "HEAD")]
    if told[0] and _git(folder, "status", "--porcelain", "--untracked-files=no"):
        told.append("+")
    return "".join(told)


def _git(folder: Path, *words: str) -> str:
    try:
        said = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return said.stdout.strip() if said.returncode == 0 else ""

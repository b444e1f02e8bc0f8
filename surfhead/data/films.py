"""What to say where a film is given and nothing here reads films: which package does."""

from __future__ import annotations

from pathlib import Path

from surfhead.core.registry import registry
from surfhead.terminal.remedies import elsewhere

FILMS = frozenset({".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v"})
READER = "video"  # of the package surfhead-video, which is installed beside this one
PACKAGE = "surfhead-video"
READ_BY = f"Films are read by the package {PACKAGE}, which is not installed."
INSTALL = elsewhere("dataset", READER)


def unread_film(path: Path) -> bool:
    """Whether this is a film by its name, and the package that reads films is missing."""
    return path.suffix.lower() in FILMS and READER not in registry().names("dataset")

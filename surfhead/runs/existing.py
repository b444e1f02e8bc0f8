"""Whether a folder is a run; asked before PyTorch is loaded."""

from __future__ import annotations

from pathlib import Path

from surfhead.core.errors import DataError
from surfhead.files.places import is_file, place

CONFIG = "config.toml"


def check_run(folder: Path | str) -> Path:
    """The folder, which is a run's. Raises DataError."""
    path = place(folder)
    if is_file(path / CONFIG):
        return path
    above = next((parent for parent in list(path.absolute().parents)[:2] if is_file(parent / CONFIG)), None)
    if not path.exists():
        why = "it does not exist"
    elif path.is_dir():
        why = f"it has no {CONFIG}"
    else:
        why = "it is a file"
    raise DataError(
        f'"{folder}" is not a run: {why}.',
        "Expected a folder made by `surfhead train`.",
        "Check the path; `surfhead train --out RUN` makes one." if above is None else f'Give "{above}".',
    )

"""Names of files that commands write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def with_suffix(path: Path, suffixes: Sequence[str]) -> Path:
    """The path, with the first of some suffixes added where it has none.

    What stands behind a point is a suffix where it begins with a letter: ``head-0.5`` has none.
    """
    has = path.suffix[1:2].isalpha()
    return path if has or not suffixes else path.with_name(path.name + suffixes[0])

"""Names of files that commands write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from surfhead.core.errors import OptionError

FILES = (".mp4", ".gif", ".webm", ".mov", ".png", ".jpg", ".jpeg")


def with_suffix(path: Path, suffixes: Sequence[str]) -> Path:
    """The path, with the first of some suffixes added where it has none.

    What stands behind a point is a suffix where it begins with a letter: ``head-0.5`` has none.
    """
    has = path.suffix[1:2].isalpha()
    return path if has or not suffixes else path.with_name(path.name + suffixes[0])


def check_folder(out: Path | None) -> None:
    """Raise OptionError for the name of a picture or a film where a folder of such is written."""
    if out is not None and out.suffix.lower() in FILES and not out.is_dir():
        raise OptionError(
            f'--out is "{out}", the name of a file.',
            "Expected a folder; the files in it have names of their own.",
            f'Give such as "{out.with_suffix("")}".',
        )

"""Names of files that the system can look up; a name from a file or from Python may be none."""

from __future__ import annotations

import errno
from pathlib import Path

from surfhead.core.errors import DataError, cause

NO_NAME = (errno.ENAMETOOLONG, errno.ELOOP, errno.EILSEQ)


def place(path: Path | str) -> Path:
    """The path, with ``~`` filled in; whether anything is there, the caller sees.

    Raises:
        DataError: no file can have this name: it holds NUL, is too long, or leads round in circles.
    """
    try:
        found = Path(path).expanduser()
        found.stat()
    except (ValueError, RuntimeError) as error:  # NUL; a home of nobody
        raise _no_name(path, error) from error
    except OSError as error:
        if error.errno in NO_NAME:
            raise _no_name(path, error) from error
    return found


def is_file(path: Path) -> bool:
    """Whether a file is there; a name that no file can have is of none."""
    try:
        return path.is_file()
    except OSError:
        return False


def _no_name(path: Path | str, error: Exception) -> DataError:
    text = str(path).replace("\0", "\\0")
    shown = text if len(text) < 200 else f"{text[:100]}…{text[-60:]}"
    what = f"cannot be a path: {cause(error)}"
    return DataError.of("", shown, what, "the path of a file or folder", "Check the path.")

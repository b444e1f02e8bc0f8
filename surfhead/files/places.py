"""Names of files that the system can look up; a name from a file or from Python may be none."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from surfhead.core.errors import DataError, cause
from surfhead.files.given import instance_of

NO_NAME = (errno.ENAMETOOLONG, errno.ELOOP, errno.EILSEQ, errno.EACCES, errno.EPERM)


def path_text(path: object) -> str:
    """A path as text. Raises DataError for what is none, such as a number or a run."""
    expected = "the path of a file or folder"
    remedy = "Give a str or a pathlib.Path; a run has its `folder`."
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    return instance_of(text, str, "a path", expected, remedy, DataError)


def place(path: Path | str) -> Path:
    """The path, with ``~`` filled in; whether anything is there, the caller sees.

    Raises:
        DataError: nothing can be looked up by it: it is no path, is empty, holds NUL, is too long, leads
            round in circles or through a folder that may not be entered.
    """
    text = path_text(path)
    try:
        if not text:  # a variable that was not set; it would mean the folder we are in
            raise ValueError("it is empty")
        found = Path(text).expanduser()
        found.stat()
    except (ValueError, RuntimeError) as error:  # NUL; a home of nobody
        raise _no_name(path, error) from error
    except OSError as error:
        if error.errno in NO_NAME:
            raise _no_name(path, error) from error
    return found


def resolved(path: Path | str) -> Path:
    """The place from the root, with links followed. Raises DataError as ``place`` does."""
    try:
        return place(path).resolve()
    except RuntimeError as error:  # links that lead round in circles, below a file
        raise _no_name(path, error) from error


def is_file(path: Path) -> bool:
    """Whether a file is there; a name that no file can have, or that may not be looked up, is of none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_dir(path: Path) -> bool:
    """Whether a folder is there, as ``is_file`` says it of files."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def found_in(folder: Path, pattern: str) -> list[Path]:
    """What a pattern finds below a folder, sorted; nothing where it is none or may not be read."""
    try:
        return sorted(folder.glob(pattern)) if folder.is_dir() else []
    except (OSError, ValueError):
        return []


def _no_name(path: Path | str, error: Exception) -> DataError:
    text = str(path).replace("\0", "\\0")
    shown = text if len(text) < 200 else f"{text[:100]}…{text[-60:]}"
    what = f"cannot be a path: {cause(error)}"
    remedy = "Check the path, and the permissions of its folders."
    return DataError.of("", shown, what, "the path of a file or folder", remedy)

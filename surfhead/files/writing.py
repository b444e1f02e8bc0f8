"""Files that are whole or absent: each is written beside its place and renamed.

A disk that fills up, a folder that is read-only or a process that is killed leaves the file of before, or
none, never a part of one under its final name. What goes wrong is a DataError that names the place.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import safetensors

from surfhead.core.errors import DataError, cause

FAILURES = (OSError, safetensors.SafetensorError)
"""What writing raises; the native writer of tensors has an error of its own."""


def unwritable(place: Path | str, error: BaseException) -> DataError:
    """The error to raise where something cannot be written."""
    return DataError.of(
        "",
        place,
        f"cannot be written: {cause(error).partition(chr(10))[0]}",
        "a folder that you may write to, on a disk with room",
        "Free some space or choose another place, and run the command again.",
    )


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A path in the same folder to write to; it takes the place of ``path`` once the block ends well.

    Folders are made. Raises DataError where writing fails; nothing is left behind then.
    """
    temporary = path.with_name(f".{path.stem[:80]}.{os.getpid()}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replaceable(path)
        yield temporary
        temporary.replace(path)
    except FAILURES as error:
        raise unwritable(path, error) from error
    finally:
        with suppress(OSError):  # after a rename there is nothing; before it, a part
            temporary.unlink(missing_ok=True)


def _replaceable(path: Path) -> None:
    """Raise OSError where a device or a pipe stands: root could put a file in the place of ``/dev/null``."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(0, "it is no regular file")


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8), whole or not at all. Raises DataError."""
    try:
        content = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # halves of letters that no name of a file has, but some JSON
        content = text.encode("utf-8", "backslashreplace")
    write_bytes(path, content)


def open_text(path: Path) -> IO[str]:
    """A file for a table; what is no letter, such as a byte of a name that is not UTF-8, becomes a code."""
    return path.open("w", encoding="utf-8", errors="backslashreplace", newline="")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all. Raises DataError."""
    with beside(path) as temporary:
        temporary.write_bytes(content)


def try_place(path: Path) -> Path:
    """See, before the work, that a file or folder can be made at ``path``; gives it back.

    Folders that are missing are not made. Raises DataError where it cannot be written.
    """
    try:
        folder = path if path.is_dir() else path.parent
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        with tempfile.TemporaryFile(dir=folder) as probe:  # first: a disk that is read-only says so
            probe.write(b"x")
            probe.flush()
        _replaceable(path)
        if path.is_file() and not os.access(path, os.W_OK):
            raise PermissionError(13, "it may not be replaced")
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from error
    return path

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
        yield temporary
        temporary.replace(path)
    except FAILURES as error:
        raise unwritable(path, error) from error
    finally:
        with suppress(OSError):  # after a rename there is nothing; before it, a part
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8), whole or not at all. Raises DataError."""
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


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
        if path.is_file() and not os.access(path, os.W_OK):
            raise PermissionError(13, "it may not be replaced")
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from error
    return path

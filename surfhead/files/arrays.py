"""numpy's files, read by several threads at once.

numpy parses the header of every array as Python text. Older releases of CPython 3.11 and 3.12 count the depth
of that for all threads together (CPython's issue 106905) and can raise SystemError, "AST constructor
recursion depth mismatch", when two threads parse at once: here one thread at a time does.
"""

from __future__ import annotations

import io
import threading
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from surfhead.files import bounds

_HEADERS = threading.Lock()


def decoded(content: bytes) -> np.ndarray:
    """The array of an ``.npy`` file's bytes. Raises ValueError for others, and for pickled objects."""
    with _HEADERS:
        return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)


def array(path: Path) -> np.ndarray:
    """The array of an ``.npy`` file, in memory. Raises ValueError or OSError with the reason."""
    with bounds.regular(path).open("rb") as file:
        return decoded(file.read())


def mapped(path: Path) -> np.ndarray:
    """The array of an ``.npy`` file, read only where it is looked at. Raises as ``array`` does."""
    with _HEADERS:
        found: np.ndarray = np.lib.format.open_memmap(bounds.regular(path), mode="r")
        return found


class Archive:
    """The arrays of an ``.npz`` by their names, unpacked when asked for.

    Args:
        file: a stream; it must live as long as the archive.

    Raises:
        ValueError, zipfile.BadZipFile: not an archive, or one that promises more than it may unpack to (see
            ``bounds.archive``).
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(bounds.archive(file))
        self.files = [name.removesuffix(".npy") for name in self._zip.namelist()]

    def __getitem__(self, name: str) -> np.ndarray:
        """An array. Raises KeyError for a name that is absent, ValueError for pickled objects."""
        entries = self._zip.namelist()
        return decoded(self._zip.read(name if name in entries else f"{name}.npy"))

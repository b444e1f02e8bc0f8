"""numpy's files, read by several threads at once.

numpy parses the header of every array as Python text. Older releases of CPython 3.11 and 3.12 count the depth
of that for all threads together (CPython's issue 106905) and can raise SystemError, "AST constructor
recursion depth mismatch", when two threads parse at once: here one thread at a time does.
"""

from __future__ import annotations

import io
import math
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from surfhead.files import bounds

_HEADERS = threading.Lock()
HEAD = 1 << 16  # bytes that hold a header; numpy refuses longer ones than 10,000
READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@contextmanager
def _header(head: bytes, size: int) -> Iterator[None]:
    """One thread's turn at an ``.npy`` file of ``size`` bytes that begins so and holds what it promises.

    Raises:
        ValueError: it holds less, or numpy cannot make sense of it, which may say that in other ways.
    """
    with _HEADERS:
        try:
            stream = io.BytesIO(head)
            read = READERS.get(np.lib.format.read_magic(stream))
            if read is not None:  # a header of version 3.0 is of columns with names in other letters
                shape, _, dtype = read(stream)
                promised = math.prod(shape) * dtype.itemsize
                if promised > size - stream.tell() and not dtype.hasobject:  # those are refused by their name
                    raise ValueError(f"its header promises {promised} bytes, more than its {size} hold")
            yield
        except (TypeError, OverflowError, RecursionError) as error:
            raise ValueError(f"its header cannot be read: {error}") from error


def decoded(content: bytes) -> np.ndarray:
    """The array of an ``.npy`` file's bytes. Raises ValueError for others, and for pickled objects."""
    with _header(content[:HEAD], len(content)):
        return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)


def array(path: Path) -> np.ndarray:
    """The array of an ``.npy`` file, in memory. Raises ValueError or OSError with the reason."""
    with bounds.regular(path).open("rb") as file:
        return decoded(file.read())


def mapped(path: Path) -> np.ndarray:
    """The array of an ``.npy`` file, read only where it is looked at. Raises as ``array`` does."""
    with bounds.regular(path).open("rb") as file:
        head = file.read(HEAD)
    with _header(head, path.stat().st_size):
        found: np.ndarray = np.lib.format.open_memmap(path, mode="r")
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

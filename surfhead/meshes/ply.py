"""Stanford PLY files, the only module that touches the package ``plyfile``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from surfhead.core.errors import DataError, cause
from surfhead.files import bounds
from surfhead.files.writing import beside

HEADER_LIMIT = 1 << 20  # bytes; real headers have a few kilobytes


@dataclass(frozen=True)
class PlyElement:
    """One element of a file.

    Attributes:
        rows: (N,) structured array, a field a property, in the file's order.
        comments: the header's comment lines.
    """

    rows: np.ndarray
    comments: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The properties' names in the file's order."""
        return tuple(self.rows.dtype.names or ())

    def matrix(self) -> np.ndarray:
        """(N, properties) float32, a copy only where the properties are of other types."""
        wanted = np.dtype([(name, "<f4") for name in self.names])
        with np.errstate(all="ignore"):  # numbers too large for a float become infinite
            rows = self.rows if self.rows.dtype == wanted else self.rows.astype(wanted)
        return rows.view("<f4").reshape(len(rows), len(self.names))


def read_ply(path: Path, element: str = "vertex", text: bool = True) -> PlyElement:
    """Read one element of plain numbers.

    Args:
        path: the file.
        element: the element's name.
        text: whether the text encoding is accepted too.

    Raises:
        DataError: the file is missing, truncated, or says one thing and holds another; names the file.
    """
    from plyfile import PlyData

    try:
        with bounds.regular(path).open("rb") as file:
            _check_header(file.read(HEADER_LIMIT), bounds.regular(path).stat().st_size, text)
            file.seek(0)
            data = PlyData.read(file, mmap="c")
        found = next((e for e in data.elements if e.name == element), None)
        if found is None:
            raise ValueError(f'it has no element "{element}"')
        rows = np.array(found.data)  # a copy, so that the mapped file can be closed
        listed = [name for name in rows.dtype.names or () if rows.dtype[name].hasobject]
        if listed:
            raise ValueError(f'property "{listed[0]}" is a list')
        return PlyElement(rows, tuple(str(comment) for comment in data.comments))
    except Exception as error:  # a damaged header or body can fail in any way
        raise DataError.of(
            "PLY file",
            path,
            f"cannot be read: {cause(error)}",
            f'a PLY file with an element "{element}" of as many rows as its header says',
            "Export or download the file again.",
        ) from error


def _check_header(head: bytes, size: int, text: bool) -> None:
    """Refuse headers that promise more rows than the file has bytes, before memory is asked for them."""
    if not head.startswith(b"ply"):
        raise ValueError("it does not begin with the word ply")
    end = head.find(b"end_header")
    if end < 0:
        raise ValueError("its header does not end")
    count = values = 0
    for line in [*head[:end].splitlines(), b"element end 0"]:
        words = line.split()
        if words[:1] == [b"property"]:
            values += 1
        elif words[:1] == [b"element"] and len(words) == 3 and words[2].isdigit() and len(words[2]) < 19:
            bounds.rows(count, values, size)
            count, values = int(words[2]), 0
        if words[:2] == [b"format", b"ascii"] and not text:
            raise ValueError("it is a text file; only the binary encoding is exact")
        if words[:1] == [b"element"] and (len(words) != 3 or not words[2].isdigit() or int(words[2]) > size):
            raise ValueError(f"its header promises more than its {size} bytes hold: {line.decode('latin1')}")


def write_ply(path: Path, rows: np.ndarray, comments: Sequence[str] = ()) -> None:
    """Write a structured array as the element ``vertex``, binary little-endian."""
    import plyfile

    element = plyfile.PlyElement.describe(rows, "vertex")
    data = plyfile.PlyData([element], text=False, byte_order="<", comments=list(comments))
    with beside(path) as temporary, temporary.open("wb") as file:
        data.write(file)


def table(names: Sequence[str], matrix: np.ndarray) -> np.ndarray:
    """A float32 matrix (N, properties) as a structured array, without copying if it is contiguous."""
    matrix = np.ascontiguousarray(matrix, dtype="<f4")
    return matrix.view([(name, "<f4") for name in names]).reshape(len(matrix))

"""Stanford PLY files, the only module that touches the package ``plyfile``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from surfhead.core.errors import DataError


@dataclass(frozen=True)
class PlyElement:
    """One element of a file, by columns.

    Attributes:
        columns: property -> (N,) array, in the file's order.
        comments: the header's comment lines.
    """

    columns: Mapping[str, np.ndarray]
    comments: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))


def read_ply(path: Path, element: str = "vertex") -> PlyElement:
    """Read one element, binary or text.

    Raises:
        DataError: the file is missing, truncated, or says one thing and holds another; names the file.
    """
    from plyfile import PlyData

    try:
        with path.open("rb") as file:
            _check_size(file.read(1 << 16), path.stat().st_size)
            file.seek(0)
            data = PlyData.read(file, mmap=False)
        found = next((e for e in data.elements if e.name == element), None)
        if found is None:
            raise ValueError(f'it has no element "{element}"')
        rows = found.data
        columns = {str(name): np.ascontiguousarray(rows[name]) for name in rows.dtype.names or ()}
        listed = [name for name, values in columns.items() if values.dtype == object]
        if listed:
            raise ValueError(f'property "{listed[0]}" is a list')
        return PlyElement(columns, tuple(str(comment) for comment in data.comments))
    except Exception as error:  # a damaged header or body can fail in any way
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DataError(
            f'PLY file "{path}" cannot be read: {reason}.',
            f'Expected a PLY file with an element "{element}" of as many rows as its header says.',
            "Export or download the file again.",
        ) from error


def _check_size(head: bytes, size: int) -> None:
    """Refuse headers that promise more rows than the file has bytes, before memory is asked for them."""
    if not head.startswith(b"ply"):
        raise ValueError("it does not begin with the word ply")
    end = head.find(b"end_header")
    if end < 0:
        raise ValueError("its header does not end")
    for line in head[:end].splitlines():
        words = line.split()
        if words[:1] == [b"element"] and (len(words) != 3 or not words[2].isdigit() or int(words[2]) > size):
            raise ValueError(f"its header promises more than its {size} bytes hold: {line.decode('latin1')}")


def write_ply(path: Path, columns: Mapping[str, np.ndarray], comments: tuple[str, ...] = ()) -> None:
    """Write one element ``vertex`` as binary little-endian; columns keep their order and type."""
    from plyfile import PlyData
    from plyfile import PlyElement as Element

    arrays = {name: np.asarray(values) for name, values in columns.items()}
    count = len(next(iter(arrays.values()), ()))
    rows = np.empty(count, dtype=[(name, values.dtype.newbyteorder("<")) for name, values in arrays.items()])
    for name, values in arrays.items():
        rows[name] = values
    path.parent.mkdir(parents=True, exist_ok=True)
    data = PlyData([Element.describe(rows, "vertex")], text=False, byte_order="<", comments=list(comments))
    with path.open("wb") as file:
        data.write(file)

"""Wavefront .obj files as the rigs need them: positions, polygons with texture corners, material names.

General mesh libraries merge, split or reorder vertices at texture seams; a blendshape rig needs the file's
own vertex order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from surfhead.core.api import DataError, cause
from surfhead.files import bounds


@dataclass(frozen=True)
class Wavefront:
    """The content of one file.

    Attributes:
        vertices: (V, 3) float64 in the file's unit and order.
        triangles: (F, 3) int64; polygons are cut into fans from their first corner.
        uv: (F, 3, 2) float64 texture coordinates of the corners, or None.
        material: (F,) the name of the material of each triangle's polygon.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    uv: np.ndarray | None
    material: np.ndarray


_wrong = partial(
    DataError.of,
    "Mesh file",
    expected="a Wavefront .obj with `v x y z` and `f` lines",
    remedy="Take the file from its official place again.",
)


def _rows(path: Path, lines: list[str], prefix: str, columns: int) -> np.ndarray:
    rows = [line.split()[1 : 1 + columns] for line in lines if line.startswith(prefix)]
    try:
        if any(len(row) != columns for row in rows):
            raise ValueError("too few numbers")
        values = np.array([float(word) for row in rows for word in row]).reshape(-1, columns)
    except ValueError as error:
        raise _wrong(path, f"cannot be read: a `{prefix.strip()}` line is not {columns} numbers") from error
    with np.errstate(over="ignore"):  # what does not fit a float becomes infinite
        finite = np.isfinite(values.astype(np.float32)).all()
    if not finite:
        raise _wrong(path, f"cannot be read: a `{prefix.strip()}` line holds NaN or infinity")
    return values


def _lines(path: Path) -> list[str]:
    try:
        return bounds.regular(path, 1 << 29).read_text(encoding="latin1").splitlines()
    except OSError as error:
        raise _wrong(path, f"cannot be read: {cause(error)}") from error


def read_vertices(path: Path) -> np.ndarray:
    """(V, 3) float64 positions alone, in the file's order. Raises DataError naming the file."""
    return _rows(path, _lines(path), "v ", 3)


def read_wavefront(path: Path) -> Wavefront:
    """Read positions, triangles, texture corners and materials. Raises DataError naming the file."""
    lines = _lines(path)
    vertices, coordinates = _rows(path, lines, "v ", 3), _rows(path, lines, "vt ", 2)
    corners: list[tuple[str, str, str]] = []
    materials: list[str] = []
    material = ""
    for line in lines:
        if line.startswith("usemtl"):
            material = line[6:].strip()
        elif line.startswith("f "):
            first, *rest = line.split()[1:] or [""]
            corners += [(first, b, c) for b, c in pairwise(rest)]
            materials += [material] * max(len(rest) - 1, 0)
    try:
        parts = [tuple(corner.split("/") for corner in triangle) for triangle in corners]
        triangles = np.array([[int(c[0]) for c in t] for t in parts], np.int64).reshape(-1, 3)
        textured = len(coordinates) > 0 and all(len(c) > 1 and c[1] for t in parts for c in t)
        at = np.array([[int(c[1]) for c in t] for t in parts], np.int64).reshape(-1, 3) if textured else None
    except (ValueError, OverflowError) as error:
        raise _wrong(path, "cannot be read: an `f` line holds something else than indices") from error
    triangles = np.where(triangles < 0, triangles + len(vertices), triangles - 1)
    if len(triangles) and (triangles.min() < 0 or triangles.max() >= len(vertices)):
        raise _wrong(path, f"cannot be read: a face names a vertex outside 1 to {len(vertices)}")
    if at is not None:
        at = np.where(at < 0, at + len(coordinates), at - 1)
        most = len(coordinates)
        if len(at) and (at.min() < 0 or at.max() >= most):
            raise _wrong(path, f"cannot be read: a face names a texture corner outside 1 to {most}")
    return Wavefront(
        vertices, triangles, None if at is None else coordinates[at], np.array(materials, dtype=np.str_)
    )

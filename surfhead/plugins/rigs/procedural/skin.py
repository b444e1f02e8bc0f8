"""The built-in head's skin: a warped grid of rays over its surface, with slits for eyes and mouth.

Rays leave an axis inside the head and end on the surface of ``procedural_surface``. Rows and columns lie
densest at the eyes, the nose and the lips. The rows through the eyes and between the lips are slit open:
their vertices exist twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surfhead.plugins.rigs.procedural.surface import MOUTH_HEIGHT, Array, HeadShape, project, smooth_step

Indices = NDArray[np.int64]

PLANE = 85.0
"""Distance in front of the ears of the plane on which the face's columns are spaced, mm."""
FACE_COLUMNS = (0, 3, 6, 9, 12, 15, 17.5, 19.5, 22.5, 26, 30, 34, 38, 42, 45.5, 49, 52, 56, 61, 68)
"""Columns of the left half on that plane, mm."""
SIDE_COLUMNS = (43, 49, 56, 64, 73, 83, 94, 106, 119, 133, 148, 164, 180)
"""Columns beyond, degrees from the front."""
FACE_ROWS = (
    *(-105, -98.5, -92.5, -87, -82, -78, -74.5, -71.6, MOUTH_HEIGHT, -68.4, -66, -62.8, -59, -54.8),
    *(-51.5, -49.3, -47.2, -45, -42, -38, -33, -28, -23, -17.5, -12.5, -8.5, -5, -2.2, 0),
    *(2.2, 5, 8.5, 12.5, 17, 22, 29, 38, 48, 59),
)
"""Heights of the rows at the front of the face, mm."""
THROAT_ROWS = (
    # front height, elevation in degrees, back height, distance of the axis in front of the ears
    (-196, 0, -190, -30),
    (-180, 0, -174, -28),
    (-163, 0, -157, -26),
    (-146, -2, -140, -22),
    (-118, -18, -123, -15),
    (-95, -40, -108, -4),
    (-92, -31, -97, 0),
    (-92, -24, -88, 0),
    (-92, -19, -79, 0),
    (-92, -14.5, -71, 0),
)
CROWN_ELEVATIONS = (8, 18, 29, 41, 54, 70)
"""Elevations of the rows over the forehead, degrees; then comes the crown itself."""
EYE_CORNERS = (19.5, 52.0)
MOUTH_CORNER = 26.0
LID_REACH = 15.0
"""Height above and below the slit of an eye within which the rows follow the lids, mm."""


@dataclass(frozen=True)
class Lids:
    """How far the lids' edges stand from the line between the eye's corners, mm."""

    upper: float = 4.9
    lower: float = -4.5


def column_angles() -> Array:
    """The columns' angles from the front, radians, from the back round the right side to the back."""
    left = np.concatenate([np.arctan2(FACE_COLUMNS, PLANE), np.radians(SIDE_COLUMNS)])
    return np.concatenate([-left[-2:0:-1], left])


def columns_on_plane() -> Array:
    """Where the columns cross the plane in front of the face, mm; beyond the face, continued.

    Those of the face are the table's own numbers. Tangents of their angles are a last bit off, as the
    version of numpy will have it, and with it a corner of an eye is in its slit or not.
    """
    beyond = PLANE * np.tan(np.clip(np.radians(SIDE_COLUMNS), None, 1.2))
    left = np.concatenate([FACE_COLUMNS, beyond])
    return np.concatenate([-left[-2:0:-1], left])


def row_rays() -> Array:
    """(R, 4) per row: front height, elevation (radians), back height, axis distance; bottom row first."""
    rows: list[tuple[float, float, float, float]] = list(THROAT_ROWS)
    for height in FACE_ROWS:
        back = float(np.interp(height, [-105, -70, -40, 0, 60], [-64, -47, -30, 0, 60]))
        rows.append((height, 0.0, back, 0.0))
    rows += [(60.0, elevation, 60.0, -elevation / 7.0) for elevation in CROWN_ELEVATIONS]
    table = np.array(rows, dtype=np.float64)
    table[:, 1] = np.radians(table[:, 1])
    return table


class SkinGrid:
    """The rays of the skin's grid, and which of its vertices border the openings."""

    def __init__(self) -> None:
        self.angles, self.columns = column_angles(), columns_on_plane()
        self.rows = row_rays()
        columns, faces = len(self.angles), len(THROAT_ROWS)
        self.shape = (len(self.rows), columns)
        self.middle = int(np.flatnonzero(self.angles == 0)[0])
        self.eye_row = faces + FACE_ROWS.index(0)
        self.mouth_row = faces + FACE_ROWS.index(MOUTH_HEIGHT)
        inner, outer = (FACE_COLUMNS.index(x) for x in EYE_CORNERS)
        corner = FACE_COLUMNS.index(MOUTH_CORNER)
        # Later projections differ little from the first: they start close to it.
        self._along: Array | None = None
        m = self.middle
        self.slits = {
            "eye_left": (self.eye_row, m + inner, m + outer),
            "eye_right": (self.eye_row, m - outer, m - inner),
            "mouth": (self.mouth_row, m - corner, m + corner),
        }

    def front_coordinates(self) -> Array:
        """(R, C, 2) where each ray crosses the plane in front of the face; beyond the face, continued."""
        x = np.broadcast_to(self.columns, self.shape)
        y = np.broadcast_to(self.rows[:, :1], self.shape)
        return np.stack([x, y], axis=-1)

    def points(
        self, lids: dict[str, Lids], upper: bool, shape: HeadShape, rows: slice = slice(None)
    ) -> Array:
        """(R, C, 3) mm: rows of the grid on the skin, that of the eyes on the upper or lower lids' edges."""
        front, table = self.front_coordinates()[rows], self.rows[rows]
        x, y = front[..., 0], front[..., 1].copy()
        for name, sign in (("eye_left", 1.0), ("eye_right", -1.0)):
            y = _open_lids(sign * x, y, lids[name], upper)
        blend = smooth_step(np.radians(24), np.radians(110), np.abs(self.angles))[None, :]
        # Towards the back the rows rise along the jaw, and rays turn level.
        height = y + blend * (table[:, 2:3] - table[:, :1])
        elevation = table[:, 1:2] * np.where(table[:, 1:2] < 0, 1.0 - blend, 1.0)
        origins = np.stack(np.broadcast_arrays(0.0 * height, height, table[:, 3:4]), axis=-1)
        level = np.cos(elevation)
        directions = np.stack(
            np.broadcast_arrays(level * np.sin(self.angles), np.sin(elevation), level * np.cos(self.angles)),
            axis=-1,
        )
        start: Array | float = 180.0 if self._along is None else self._along[rows] + 14.0
        along = project(origins, directions, shape, start)
        if self._along is None:
            self._along = along
        return np.asarray(origins + along[..., None] * directions)


def _open_lids(x: Array, y: Array, lids: Lids, upper: bool) -> Array:
    """Move the rows near an eye's slit apart by the lids' opening."""
    inner, outer = EYE_CORNERS
    along = np.clip((x - inner) / (outer - inner), 0.0, 1.0)
    # Highest towards the nose for the upper lid, towards the temple for the lower one.
    rise = np.clip(4.0 * along * (1.0 - along), 0.0, 1.0) ** 0.62
    top = lids.upper * rise * (1.0 + 0.25 * (0.5 - along)) + 1.6 * (along - 0.5) * (rise > 0)
    bottom = lids.lower * rise * (1.0 - 0.25 * (0.5 - along)) + 1.6 * (along - 0.5) * (rise > 0)
    above = (y > 0) | ((y == 0) & upper)
    edge = np.where(above, top, bottom)
    reach = np.clip(1.0 - np.abs(y) / LID_REACH, 0.0, 1.0)
    return np.where((x > inner) & (x < outer), y + edge * reach, y)


def build_skin(grid: SkinGrid, lids: dict[str, Lids], shape: HeadShape) -> Array:
    """The skin's vertices (grid, crown, second copies of the slits' vertices), mm."""
    upper = grid.points(lids, upper=True, shape=shape)
    lower = grid.points(lids, upper=False, shape=shape, rows=slice(grid.eye_row, grid.eye_row + 1))
    base, up = np.array([[0.0, 60.0, -10.0]]), np.array([[0.0, 1.0, 0.0]])
    crown = base + project(base, up, shape, 180.0)[:, None] * up
    pieces = [upper.reshape(-1, 3), crown]
    for row, start, stop in grid.slits.values():
        edge = lower[0] if row == grid.eye_row else upper[row]
        pieces.append(edge[start + 1 : stop])
    vertices = np.concatenate(pieces)
    _press_nostrils(vertices, shape)
    mouth, below = slit_indices(grid)["mouth"]
    inner = slice(1, -1)
    # The lips' edges roll inwards and touch.
    vertices[mouth[inner]] += [0.0, 0.15, -2.6]
    vertices[below[inner]] += [0.0, -0.15, -2.6]
    return vertices


def _press_nostrils(vertices: Array, shape: HeadShape) -> None:
    """Push two hollows into the underside of the nose, which level rays cannot see; in place."""
    x, y, z = vertices.T
    base = -49.6
    near = ((np.abs(x) - 6.4 - shape.nose_width) / 2.7) ** 2 + ((y - base) / 1.9) ** 2
    vertices += (np.exp(-near) * (z > 88))[:, None] * np.array([0.0, 5.0, -2.0])


def slit_indices(grid: SkinGrid) -> dict[str, tuple[Indices, Indices]]:
    """Vertex indices along the upper and the lower edge of each opening, corners included, towards +x."""
    rows, columns = grid.shape
    found = {}
    first = rows * columns + 1
    for name, (row, start, stop) in grid.slits.items():
        upper = row * columns + np.arange(start, stop + 1)
        lower = upper.copy()
        lower[1:-1] = first + np.arange(stop - start - 1)
        first += stop - start - 1
        found[name] = (upper, lower)
    return found


def skin_triangles(grid: SkinGrid) -> Indices:
    """The skin's triangles, wound outward, diagonals mirrored about the midline."""
    rows, columns = grid.shape
    index = np.arange(rows * columns).reshape(rows, columns)
    below = index.copy()
    for name, (upper, lower) in slit_indices(grid).items():
        row = grid.slits[name][0]
        below[row, upper - row * columns] = lower
    # A cell's lower edge belongs to the copies above an opening, its upper edge to those below.
    a, b = index[:-1], np.roll(index, -1, axis=1)[:-1]
    d, c = below[1:], np.roll(below, -1, axis=1)[1:]
    right = (np.arange(columns) < grid.middle)[None, :, None]
    one = np.where(right, np.stack([a, b, d], -1), np.stack([a, b, c], -1))
    two = np.where(right, np.stack([b, c, d], -1), np.stack([a, c, d], -1))
    cap = np.stack([index[-1], np.roll(index[-1], -1), np.full(columns, rows * columns)], -1)
    return np.concatenate([one.reshape(-1, 3), two.reshape(-1, 3), cap])


def ring_strip(outer: Indices, inner: Indices) -> Indices:
    """Triangles between two closed rings of equal length."""
    after, inside = np.roll(outer, -1), np.roll(inner, -1)
    return np.concatenate([np.stack([after, outer, inner], -1), np.stack([after, inner, inside], -1)])


def opening_ring(upper: Indices, lower: Indices) -> Indices:
    """The closed ring of an opening: its upper edge, then its lower edge backwards."""
    return np.concatenate([upper, lower[-2:0:-1]])

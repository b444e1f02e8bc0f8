"""The built-in head assembled: one mesh of skin, openings, ears, eyeballs and teeth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surfhead.plugins.rigs.procedural.parts import ear, eyeball, lid_rims, mouth_bag, teeth, tongue
from surfhead.plugins.rigs.procedural.skin import (
    Indices,
    Lids,
    SkinGrid,
    build_skin,
    opening_ring,
    ring_strip,
    skin_triangles,
    slit_indices,
)
from surfhead.plugins.rigs.procedural.surface import EYE_CENTRE, MOUTH_HEIGHT, Array, HeadShape, proportion

PARTS = (
    "skin",
    "lid_rim_left",
    "lid_rim_right",
    "mouth_bag",
    "ear_left",
    "ear_right",
    "eye_left",
    "eye_right",
    "teeth_upper",
    "teeth_lower",
    "tongue",
)


@dataclass(frozen=True)
class HeadMesh:
    """A head in millimetres and what is known of each vertex.

    Attributes:
        vertices: (V, 3).
        triangles: (F, 3), wound outward; the mouth's bag is wound into the mouth.
        part: (V,) index into PARTS; a vertex on an opening's edge belongs to the skin.
        triangle_part: (F,) index into PARTS.
        side: (V,) +1 on and above the upper edges of mouth and eyes, -1 below, 0 away from the face.
        front: (V, 2) where the vertex lies on the plane before the face with closed lids, mm.
        uv: (F, 3, 2) texture coordinates of the corners, one tile for the skin and small ones for the parts.
    """

    vertices: Array
    triangles: Indices
    part: NDArray[np.int64]
    triangle_part: NDArray[np.int64]
    side: Array
    front: Array
    uv: Array

    def of(self, *names: str) -> NDArray[np.bool_]:
        """(V,) which vertices belong to the named parts."""
        return np.isin(self.part, [PARTS.index(name) for name in names])


class HeadBuilder:
    """Builds heads of one topology for any identity and lid opening."""

    def __init__(self) -> None:
        self.grid = SkinGrid()
        # The first projection, of the average head, is where all later ones start.
        self.vertices(HeadShape())

    def vertices(self, shape: HeadShape, lids: Mapping[str, Lids] | None = None) -> Array:
        """(V, 3) mm."""
        return np.concatenate([piece for _, piece, _ in self._pieces(shape, lids)])

    def mesh(self) -> HeadMesh:
        """The average head with everything known of its vertices."""
        pieces = self._pieces(HeadShape(), None)
        first, triangles, triangle_part, part = 0, [], [], []
        for name, vertices, faces in pieces:
            # Strips of openings already hold the skin's indices: these count from the whole mesh's start.
            offset = 0 if name.startswith(("skin", "lid_rim", "mouth_bag")) else first
            triangles.append(faces + offset)
            triangle_part.append(np.full(len(faces), PARTS.index(name)))
            part.append(np.full(len(vertices), PARTS.index(name)))
            first += len(vertices)
        faces = np.concatenate(triangles)
        labels = np.concatenate(triangle_part)
        front, side = self._front_and_side(pieces)
        vertices = np.concatenate([v for _, v, _ in pieces])
        return HeadMesh(
            vertices,
            faces,
            np.concatenate(part),
            labels,
            side,
            front,
            _texture(vertices, faces, labels, self.grid),
        )

    def eye_centre(self, shape: HeadShape, side: float) -> Array:
        """(3,) the centre of an eyeball, mm; eyes lie wider in a wider face."""
        return np.asarray(EYE_CENTRE * [side * (1.0 + 0.045 * shape.face_width), 1.0, 1.0])

    def _pieces(self, shape: HeadShape, lids: Mapping[str, Lids] | None) -> list[tuple[str, Array, Indices]]:
        """Parts in order: name, vertices, triangles."""
        opening = {"eye_left": Lids(), "eye_right": Lids()} | dict(lids or {})
        skin = proportion(build_skin(self.grid, opening, shape), shape)
        pieces: list[tuple[str, Array, Indices]] = [("skin", skin, skin_triangles(self.grid))]
        rings = {name: opening_ring(*edges) for name, edges in slit_indices(self.grid).items()}
        first = len(skin)
        for name, sign in (("left", 1.0), ("right", -1.0)):
            ring = rings[f"eye_{name}"]
            inner = lid_rims(skin[ring], self.eye_centre(shape, sign))
            pieces.append((f"lid_rim_{name}", np.concatenate(inner), _inward(ring, first, len(inner))))
            first += sum(len(r) for r in inner)
        ring = rings["mouth"]
        bag, back = mouth_bag(skin[ring])
        faces = _inward(ring, first, len(bag))
        last = first + (len(bag) - 1) * len(ring) + np.arange(len(ring))
        fan = np.stack([np.roll(last, -1), last, np.full(len(ring), last[-1] + 1)], axis=-1)
        pieces.append(("mouth_bag", np.concatenate([*bag, back[None]]), np.concatenate([faces, fan])))
        for name, sign in (("left", 1.0), ("right", -1.0)):
            pieces.append((f"ear_{name}", *ear(sign, self._ear_anchor(skin, sign))))
        for name, sign in (("left", 1.0), ("right", -1.0)):
            pieces.append((f"eye_{name}", *eyeball(self.eye_centre(shape, sign))))
        inside = (("teeth_upper", teeth(True)), ("teeth_lower", teeth(False)), ("tongue", tongue()))
        pieces += [(name, proportion(points, shape), faces) for name, (points, faces) in inside]
        return pieces

    def _ear_anchor(self, skin: Array, sign: float) -> Array:
        """(3,) the point of the skull at the ear hole."""
        rows, columns = self.grid.shape
        height = skin[: rows * columns].reshape(rows, columns, 3)
        column = int(np.argmin(np.abs(self.grid.angles - sign * np.radians(94))))
        row = int(np.argmin(np.abs(height[:, column, 1] + 14.0)))
        return np.asarray([height[row, column, 0], -14.0, -4.0])

    def _front_and_side(self, pieces: list[tuple[str, Array, Indices]]) -> tuple[Array, Array]:
        rows, columns = self.grid.shape
        plane = self.grid.front_coordinates().reshape(-1, 2)
        row = np.arange(rows * columns) // columns
        count = sum(len(v) for _, v, _ in pieces)
        front, side = np.zeros((count, 2)), np.zeros(count)
        front[: rows * columns] = plane
        face = np.abs(self.grid.angles[np.arange(rows * columns) % columns]) < np.radians(75)
        middle = 0.5 * (self.grid.eye_row + self.grid.mouth_row)
        of_eyes = row > middle
        slit = np.where(of_eyes, self.grid.eye_row, self.grid.mouth_row)
        side[: rows * columns] = np.where(face, np.where(row >= slit, 1.0, -1.0), 0.0)
        first = len(pieces[0][1])
        for name, (upper, lower) in slit_indices(self.grid).items():
            front[lower], side[lower[1:-1]] = front[upper], -1.0
            ring = opening_ring(upper, lower)
            piece = {"eye_left": "lid_rim_left", "eye_right": "lid_rim_right", "mouth": "mouth_bag"}[name]
            size = len(next(v for n, v, _ in pieces if n == piece))
            repeats = -(-size // len(ring))
            front[first : first + size] = np.tile(front[ring], (repeats, 1))[:size]
            side[first : first + size] = np.tile(side[ring], repeats)[:size]
            first += size
            if name == "mouth":
                # The point that closes the bag belongs to neither lip.
                front[first - 1], side[first - 1] = (0.0, MOUTH_HEIGHT), 0.0
        return front, side


def _inward(ring: Indices, first: int, count: int) -> Indices:
    """Strips from an opening's ring of skin vertices over ``count`` rings that start at index ``first``."""
    strips, outer = [], ring
    for k in range(count):
        inner = first + k * len(ring) + np.arange(len(ring))
        strips.append(ring_strip(outer, inner))
        outer = inner
    return np.concatenate(strips)


def _texture(vertices: Array, faces: Indices, labels: NDArray[np.int64], grid: SkinGrid) -> Array:
    """(F, 3, 2): cylindrical for the skin, planar tiles along the lower edge for the other parts."""
    corner = vertices[faces]
    uv = np.zeros((len(faces), 3, 2))
    angle = np.arctan2(corner[..., 0], corner[..., 2] + 5.0)
    # A triangle across the seam at the back keeps its corners together.
    seam = np.ptp(angle, axis=1) > np.pi
    angle = np.where(seam[:, None] & (angle < 0), angle + 2 * np.pi, angle)
    skin = labels == PARTS.index("skin")
    low, high = vertices[:, 1].min(), vertices[:, 1].max()
    uv[skin, :, 0] = (0.5 + angle / (2 * np.pi))[skin]
    uv[skin, :, 1] = 0.15 + 0.85 * (corner[skin][..., 1] - low) / (high - low)
    for tile, name in enumerate(PARTS[1:]):
        mine = labels == PARTS.index(name)
        axes = [2, 1] if name.startswith("ear") else [0, 1]
        points = corner[mine][..., axes]
        span = points.reshape(-1, 2).max(axis=0) - points.reshape(-1, 2).min(axis=0)
        local = (points - points.reshape(-1, 2).min(axis=0)) / np.maximum(span, 1e-9)
        uv[mine] = (local * 0.9 + [tile + 0.05, 0.05]) * [1.0 / (len(PARTS) - 1), 0.14]
    return uv

"""The skin surface of the built-in head as a signed distance function.

The head is sculpted from ellipsoids and round cones joined, carved and blended by the polynomial smooth
minimum (I. Quilez, "smooth minimum", 2013): anthropometric sizes go in as millimetres, and every
identity shape is a change of some of them, projected anew. Axes: +y up, +z out of the face, +x the
head's own left; the origin lies between the pupils, in the plane of the ears.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

EYE_CENTRE = np.array([32.0, 0.0, 69.5])
"""Centre of the left eyeball, mm; half of the interpupillary distance is 32 mm."""
EYE_RADIUS = 12.0
"""Radius of an eyeball, mm."""
LID_RADIUS = 14.0
"""Outer radius of the closed lids round the eyeball's centre, mm."""
MOUTH_HEIGHT = -70.0
"""Height of the line between the lips, mm."""


@dataclass(frozen=True)
class HeadShape:
    """Changes of the average head, each about one standard deviation at 1."""

    face_width: float = 0.0
    face_length: float = 0.0
    nose_length: float = 0.0
    nose_width: float = 0.0
    jaw_width: float = 0.0
    chin: float = 0.0
    cheeks: float = 0.0
    brow: float = 0.0
    lips: float = 0.0
    cranium: float = 0.0


IDENTITY_SHAPES = tuple(HeadShape.__dataclass_fields__)
"""Names of the identity shapes, in the order of the coefficients."""


def smooth_union(a: Array, b: Array, width: float) -> Array:
    """The union of two distances, rounded over ``width`` mm where they meet."""
    h = np.maximum(width - np.abs(a - b), 0.0) / width
    return np.minimum(a, b) - 0.25 * width * h * h


def smooth_carve(a: Array, b: Array, width: float) -> Array:
    """``a`` without ``b``, rounded over ``width`` mm."""
    return -smooth_union(-a, b, width)


def ellipsoid(points: Array, centre: tuple[float, ...], radii: tuple[float, ...]) -> Array:
    """Distance (first order near the surface) to an ellipsoid with axes along x, y, z."""
    scaled = (points - np.asarray(centre)) / np.asarray(radii)
    k0 = _length(scaled)
    k1 = _length(scaled / np.asarray(radii))
    return np.asarray(k0 * (k0 - 1.0) / np.maximum(k1, 1e-9))


def cone(points: Array, start: tuple[float, ...], end: tuple[float, ...], r0: float, r1: float) -> Array:
    """Distance to a capsule whose radius goes from ``r0`` at ``start`` to ``r1`` at ``end``."""
    a, b = np.asarray(start), np.asarray(end)
    along = np.clip((points - a) @ (b - a) / float((b - a) @ (b - a)), 0.0, 1.0)
    nearest = a + along[..., None] * (b - a)
    return np.asarray(_length(points - nearest) - (r0 + (r1 - r0) * along))


def _length(vectors: Array) -> Array:
    """(...) lengths of vectors (..., 3)."""
    return np.asarray(np.sqrt(np.einsum("...c,...c->...", vectors, vectors)))


def head_distance(points: Array, shape: HeadShape) -> Array:
    """Signed distance to the skin, without ears, with closed lids and lips, before ``proportion``, mm.

    Args:
        points: (..., 3) millimetres.
        shape: the identity.

    Returns:
        (...), negative inside; first order exact near the surface only.
    """
    s = shape
    p = points.copy()
    # Mirror: everything is sculpted for the left half; a soft |x| keeps the midline smooth.
    p[..., 0] = np.sqrt(np.square(p[..., 0]) + 0.05)
    return _nose_and_mouth(p, _face(p, _skull(p, s), s), s)


def _skull(p: Array, s: HeadShape) -> Array:
    """Cranium, forehead, jaw and neck."""
    top = 4.0 * s.cranium
    d = ellipsoid(p, (0, 34 + top / 2, -12), (73, 77 + top, 90))
    d = smooth_union(d, ellipsoid(p, (0, 36, 24), (58, 62 + top, 66)), 22)
    d = smooth_union(d, ellipsoid(p, (0, -20, 24), (58, 74, 60)), 24)
    wide = 4.0 * s.jaw_width
    jaw = cone(p, (44 + wide, -62, 2), (12 + 0.5 * wide, -99, 72), 13, 11)
    jaw = smooth_union(jaw, cone(p, (51 + 0.6 * wide, -12, 2), (45 + wide, -62, 2), 12, 13), 12)
    d = smooth_union(d, jaw, 22)
    d = smooth_union(d, ellipsoid(p, (0, -70, 45), (36, 32, 38)), 18)
    neck = cone(p, (0, -30, -32), (0, -230, -42), 49, 55)
    neck = smooth_union(neck, cone(p, (0, -110, -7), (0, -230, -12), 39, 46), 20)
    d = smooth_union(d, neck, 26)
    tendon = cone(p, (46, -50, -28), (13, -215, 24), 9, 9)
    d = smooth_union(d, tendon, 16)
    d = smooth_union(d, ellipsoid(p, (0, -142, 32), (7, 11, 8)), 14)
    # Trapezius: the neck widens into the shoulders at the back.
    return smooth_union(d, cone(p, (34, -158, -52), (95, -240, -58), 14, 24), 36)


def _face(p: Array, d: Array, s: HeadShape) -> Array:
    """Cheekbones, cheeks, chin, brow, eye sockets and lids."""
    d = smooth_union(d, ellipsoid(p, (47, -20, 50), (17, 12, 20)), 22)
    full = 4.0 * s.cheeks
    d = smooth_union(d, ellipsoid(p, (36, -50, 56), (20 + full, 22 + full, 22 + full)), 20)
    d = smooth_union(d, ellipsoid(p, (0, -101, 79), (16, 13, 17.5)), 20)
    ridge = 2.0 * s.brow
    d = smooth_union(d, cone(p, (9, 15, 82 + ridge), (42, 19, 68 + ridge), 9, 8), 14)
    # Temples fall in behind the brow.
    d = smooth_carve(d, ellipsoid(p, (86, 22, 40), (18, 28, 26)), 16)
    d = smooth_carve(d, ellipsoid(p, (31.5, -1.0, 96), (21, 14, 19)), 13)
    # The inner corner is the deepest part, beside the nose.
    d = smooth_carve(d, ellipsoid(p, (16.5, 1.0, 93), (7, 10, 12)), 10)
    lid = ellipsoid(p, tuple(EYE_CENTRE), (LID_RADIUS + 2.6, LID_RADIUS, LID_RADIUS))
    return smooth_union(d, lid, 4.5)


def _nose_and_mouth(p: Array, d: Array, s: HeadShape) -> Array:
    """Nose, the folds beside it, philtrum, lips and the groove above the chin."""
    wide = 2.0 * s.nose_width
    tip = (0.0, -38.0, 106.0)
    d = smooth_union(d, ellipsoid(p, (0, -69, 65), (32, 26, 24)), 18)
    nose = cone(p, (0, 4, 84), (0, -22, 98), 6.5, 7.5)
    nose = smooth_union(nose, cone(p, (0, -22, 98), tip, 7.5, 9.0), 6)
    nose = smooth_union(nose, cone(p, (5, -18, 85), (8 + wide, -41, 90), 6, 7.5), 10)
    d = smooth_union(d, nose, 9)
    wing = ellipsoid(p, (12.6 + wide, -43.0, 93), (5.4, 6.6, 9.5))
    d = smooth_union(d, wing, 4.5)
    d = smooth_union(d, cone(p, (0, -45.5, 104.5), (0, -49.5, 92), 3.4, 3.8), 4)
    d = smooth_carve(d, ellipsoid(p, (6.8 + 0.5 * wide, -51, 100), (3.6, 6.0, 5.8)), 3.0)
    # The fold from the wing to the mouth's corner, and the groove under the nose.
    d = smooth_carve(d, cone(p, (20 + wide, -43, 91), (30, -63, 83), 1.6, 1.2), 9)
    d = smooth_carve(d, cone(p, (0, -52, 99), (0, -62, 96.5), 1.8, 2.4), 5)
    d = smooth_carve(d, ellipsoid(p, (0, -87.5, 102), (20, 5, 12)), 10)
    full = 1.0 * s.lips
    upper = cone(p, (3.2, -66.0 + 0.4 * full, 90.6), (23.0, -69.7, 81.0), 4.2 + full, 2.6)
    lower = cone(p, (0, -75.4 - 0.4 * full, 89.0), (21.0, -71.0, 80.5), 5.4 + full, 2.8)
    d = smooth_union(d, upper, 2.2)
    return smooth_union(d, lower, 2.6)


def proportion(points: Array, shape: HeadShape) -> Array:
    """Move points (..., 3) of the sculpted head to the widths and lengths of ``shape``, mm.

    What changes along the surface is done here, so that the vertices go with the nose and the chin.
    """
    x, y, z = np.moveaxis(points, -1, 0)
    nose = shape.nose_length * np.exp(-((x / 17) ** 2) - ((y + 42) / 14) ** 2) * smooth_step(78, 96, z)
    chin = shape.chin * np.exp(-((x / 24) ** 2) - ((y + 108) / 15) ** 2) * smooth_step(30, 75, z)
    down = 0.05 * shape.face_length * np.clip(y, -130.0, 0.0)
    width = 1.0 + 0.045 * shape.face_width
    moved = [width * x, y + down - 3.0 * nose - 4.0 * chin, z + 3.0 * nose + 3.0 * chin]
    return np.stack(moved, axis=-1)


def smooth_step(low: float, high: float, x: Array) -> Array:
    """0 below ``low``, 1 above ``high``, a cubic between."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t))


def project(origins: Array, directions: Array, shape: HeadShape, start: Array | float) -> Array:
    """How far rays from inside the head run until they leave it for good.

    They are walked inwards from ``start`` by sphere tracing; the last, smaller steps settle on the surface.

    Args:
        origins: (..., 3) mm.
        directions: (..., 3) unit vectors.
        start: distance outside the skin from which to walk, mm.

    Returns:
        (...) mm along each ray.
    """
    along = np.broadcast_to(start, origins.shape[:-1]).astype(np.float64)
    steps = 60 if np.ndim(start) == 0 else 24
    for step in range(steps):
        distance = head_distance(origins + along[..., None] * directions, shape)
        along = np.maximum(along - (0.85 if step < steps - 8 else 0.5) * distance, 0.0)
    return along

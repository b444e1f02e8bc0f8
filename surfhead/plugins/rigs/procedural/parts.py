"""What the built-in head has besides its skin: eyeballs, lid rims, the mouth's bag, teeth and ears, in mm."""

from __future__ import annotations

import numpy as np

from surfhead.plugins.rigs.procedural.skin import Indices, ring_strip
from surfhead.plugins.rigs.procedural.surface import EYE_RADIUS, Array, smooth_step

EYE_RINGS = (7, 14, 21, 27, 32, 40, 52, 68, 88, 112, 145)
"""Angles of an eyeball's rings from its forward pole, degrees; the iris ends at 29 degrees."""
EYE_SEGMENTS = 16
EAR_RINGS = (0.2, 0.4, 0.55, 0.7, 0.82, 0.93, 1.0)
EAR_SEGMENTS = 20
TEETH_COLUMNS = 15
TONGUE_RINGS = (18, 38, 60, 85, 112, 145)
TONGUE_SEGMENTS = 12

Piece = tuple[Array, Indices]


def rings_to_mesh(rings: list[Array], cap_first: Array | None, cap_last: Array | None) -> Piece:
    """Join equally long closed rings by strips, and close them by fans where caps (3,) are given."""
    count = len(rings[0])
    index = np.arange(len(rings) * count).reshape(len(rings), count)
    vertices = [np.concatenate(rings)]
    triangles = [ring_strip(index[k], index[k + 1]) for k in range(len(rings) - 1)]
    for cap, ring, flip in ((cap_first, index[0], True), (cap_last, index[-1], False)):
        if cap is None:
            continue
        pole = np.full(count, sum(len(v) for v in vertices))
        vertices.append(cap[None])
        after = np.roll(ring, -1)
        fan = [ring, after, pole] if flip else [after, ring, pole]
        triangles.append(np.stack(fan, axis=-1))
    return np.concatenate(vertices), np.concatenate(triangles)


def eyeball(centre: Array) -> Piece:
    """A sphere with the cornea's bulge; its poles look forward and back."""
    turn = 2 * np.pi * np.arange(EYE_SEGMENTS) / EYE_SEGMENTS
    rings = []
    for degrees in EYE_RINGS:
        polar = np.radians(degrees)
        radius = EYE_RADIUS + _cornea(degrees)
        ring = [
            np.sin(polar) * np.cos(turn),
            np.sin(polar) * np.sin(turn),
            np.full(EYE_SEGMENTS, np.cos(polar)),
        ]
        rings.append(centre + radius * np.stack(ring, axis=-1))
    front = centre + np.array([0, 0, EYE_RADIUS + _cornea(0.0)])
    vertices, triangles = rings_to_mesh(rings, front, centre - np.array([0, 0, EYE_RADIUS]))
    return vertices, triangles


def _cornea(degrees: float) -> float:
    """How far the cornea stands out of the sphere, mm, at an angle from the pole."""
    return 0.5 * max(0.0, 1.0 - (degrees / 33.0) ** 2)


def lid_rims(edge: Array, centre: Array) -> list[Array]:
    """The lids' thickness: rings from their edge to the eyeball, then back along it out of sight."""
    offset = edge - centre
    touching = centre + offset / np.linalg.norm(offset, axis=1, keepdims=True) * (EYE_RADIUS + 0.3)
    away = offset * [1.0, 1.25, 0.45]
    behind = centre + away / np.linalg.norm(away, axis=1, keepdims=True) * (EYE_RADIUS + 0.5)
    return [touching, behind]


def mouth_bag(edge: Array) -> tuple[list[Array], Array]:
    """Rings that continue the lips' edge inwards, and the point at the back that closes them."""
    half = len(edge) // 2
    arc = np.sin(np.linspace(0, np.pi, half + 1))
    turn = np.concatenate([arc, -arc[1:-1]])
    # Wide open also near the corners, so that the teeth stand free of it.
    turn = np.sign(turn) * np.abs(turn) ** 0.45
    rings = []
    for depth, spread, narrow in ((-2.5, 0.8, 1.0), (-7, 8, 1.03), (-22, 18, 1.08), (-46, 15, 0.75)):
        ring = edge * [narrow, 1.0, 1.0]
        ring[:, 1] += spread * turn
        ring[:, 2] += depth
        rings.append(ring)
    return rings, rings[-1].mean(axis=0) - np.array([0, 0, 8])


def teeth(upper: bool) -> Piece:
    """One arch of teeth: outside, edge and inside, 15 columns."""
    angle = np.radians(np.linspace(-86, 86, TEETH_COLUMNS))
    root, edge, wide, front = (-57.0, -68.4, 22.5, 84.5) if upper else (-81.5, -69.8, 21.0, 82.0)
    # A little notch between neighbouring teeth.
    notch = 0.5 * (np.arange(TEETH_COLUMNS) % 2) * (1 if upper else -1)
    # Towards the back the crowns get lower, and end in the gum.
    crown = 1.0 - smooth_step(0.72, 1.0, np.abs(np.linspace(-1, 1, TEETH_COLUMNS)))
    rows = []
    for height, inward in ((root, 1.0), (edge, 0.0), (edge, 3.5), (root, 6.0)):
        # Fuller than an ellipse: the back teeth stand in two nearly parallel rows.
        x = (wide - inward) * np.sign(angle) * np.abs(np.sin(angle)) ** 0.8
        z = front - 40 + (40 - inward) * np.abs(np.cos(angle)) ** 0.9
        rise = (edge - root) * crown + notch if height == edge else 0.0 * notch
        rows.append(np.stack([x, root + rise, z], axis=-1))
    index = np.arange(4 * TEETH_COLUMNS).reshape(4, TEETH_COLUMNS)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    triangles = np.concatenate(
        [np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)]
    )
    return np.concatenate(rows), triangles if upper else triangles[:, ::-1]


def tongue() -> Piece:
    """An ellipsoid on the floor of the mouth, its tip behind the lower teeth."""
    turn = 2 * np.pi * np.arange(TONGUE_SEGMENTS) / TONGUE_SEGMENTS
    centre, radii = np.array([0.0, -84.0, 48.0]), np.array([16.5, 9.5, 27.0])
    rings = []
    for degrees in TONGUE_RINGS:
        polar = np.radians(degrees)
        ring = [
            np.sin(polar) * np.cos(turn),
            np.sin(polar) * np.sin(turn),
            np.full(TONGUE_SEGMENTS, np.cos(polar)),
        ]
        rings.append(centre + radii * np.stack(ring, axis=-1))
    tip, root = centre + radii * np.array([0, 0, 1]), centre - radii * np.array([0, 0, 1])
    return rings_to_mesh(rings, tip, root)


def ear(side: float, anchor: Array) -> Piece:
    """An ear: concha, antihelix, helix and lobe in relief on a tilted disc, and its back down to the skull.

    Args:
        side: 1 for the head's left ear, -1 for the right.
        anchor: (3,) the point on the skull where the ear's middle sits.
    """
    turn = 2 * np.pi * np.arange(EAR_SEGMENTS) / EAR_SEGMENTS
    across, up = np.cos(turn), np.sin(turn)
    # Broad above, narrowing to the lobe; the front edge (across < 0) is nearly straight.
    width = np.where(across > 0, 17.5 + 3.5 * up, 12.5 + 1.5 * up)
    height = np.where(up > 0, 31.0, 32.0)
    behind = smooth_step(-0.75, 0.1, across)
    lobe = smooth_step(0.55, 0.9, -up)
    rings = []
    for rho in EAR_RINGS:
        helix = 4.8 * np.exp(-(((rho - 0.95) / 0.11) ** 2)) * np.maximum(behind, smooth_step(0.2, 0.7, up))
        ridge = 4.2 * np.exp(-(((rho - 0.62) / 0.13) ** 2)) * smooth_step(-0.2, 0.5, across)
        tragus = 3.5 * np.exp(-(((rho - 0.55) / 0.2) ** 2)) * smooth_step(0.75, 0.98, -across)
        bowl = -8.0 * np.exp(-((rho / 0.42) ** 2))
        out = bowl + (1 - 0.6 * lobe) * (helix + ridge) + tragus
        rings.append(_place(rho * across * width, rho * up * height, out))
    rings.append(_place(0.97 * across * width, 0.97 * up * height, -4.0 + 0.0 * up))
    rings.append(_place(0.6 * across * width - 3.0, 0.66 * up * height, -15.0 + 0.0 * up))
    vertices, triangles = rings_to_mesh(rings, _place(np.zeros(1), np.zeros(1), np.full(1, -8.5))[0], None)
    vertices = anchor + vertices * [side, 1, 1]
    return vertices, triangles if side > 0 else triangles[:, ::-1]


def _place(back: Array, up: Array, out: Array) -> Array:
    """Ear coordinates to head coordinates, left side: tilted backwards, its back edge standing out."""
    flare, lean = np.radians(27), np.radians(10)
    turned_up = up * np.cos(lean) + back * np.sin(lean) * 0.6
    turned_back = back * np.cos(lean) + up * np.sin(lean)
    x = out * np.cos(flare) + turned_back * np.sin(flare)
    z = out * np.sin(flare) - turned_back * np.cos(flare)
    return np.stack([x + 5.5, turned_up, z], axis=-1)

"""The colours of the synthetic head: skin, brows, hair, lips, eyes and teeth, finer than the triangles.

The texture is solid: a function of a point of the rest shape, in face millimetres, and of region masks, so it
fits every rig. It is baked once on a barycentric lattice in each triangle ("Mesh Colors", Yuksel, Keyser
and House, 2010), which needs no texture coordinates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from surfhead.core.api import RestMesh
from surfhead.plugins.datasets.synthetic.face import (
    EYE_DEPTH,
    HALF_PUPIL_DISTANCE,
    SOLID,
    Array,
    FaceFrame,
    bump,
    ramp,
    vertex_masks,
)
from surfhead.plugins.datasets.synthetic.noise import fractal_noise, spots, value_noise

SKIN = np.array([0.87, 0.665, 0.56])
RED = np.array([0.80, 0.45, 0.40])
LIPS = np.array([0.72, 0.42, 0.385])
HAIR = np.array([0.29, 0.185, 0.12])
TONGUE = np.array([0.72, 0.38, 0.38])
MOUTH = np.array([0.36, 0.12, 0.12])
TOOTH = np.array([0.97, 0.94, 0.87])
IRIS = np.array([0.26, 0.42, 0.48])
RIM = np.array([0.78, 0.52, 0.47])
STUBBLE = np.array([0.36, 0.30, 0.28])
SCLERA = np.array([0.91, 0.89, 0.87])


def mix(a: Array, b: Array, amount: Array) -> Array:
    """From ``a`` to ``b`` (colours) by ``amount`` (...)."""
    return np.asarray(a + (b - a) * amount[..., None])


def hair_direction(points: Array) -> Array:
    """Coordinates along which hair is combed: fine across the strands, long along them (mm)."""
    offset = points - np.array([0.0, 35.0, -28.0])
    around = np.arctan2(offset[..., 0], offset[..., 2])
    up = np.arctan2(offset[..., 1], np.hypot(offset[..., 0], offset[..., 2]) + 1e-6)
    return np.stack([72.0 * around * np.maximum(np.cos(up), 0.15), 72.0 * up, 0.0 * up], axis=-1)


def brow_strength(points: Array, seed: int) -> Array:
    """How much eyebrow there is, with its hairs."""
    x, y = np.abs(points[..., 0]), points[..., 1]
    along = (x - 11.0) / 38.0
    arch = 16.0 + 6.5 * np.clip(along, 0, 1) ** 0.8 - 9.0 * np.clip(along - 0.62, 0, 1) ** 1.2
    wide = np.interp(along, [0.0, 0.15, 0.6, 1.0], [3.2, 4.2, 3.4, 1.2])
    inside = ramp(1.3, 0.55, np.abs(y - arch) / wide) * ramp(-0.04, 0.05, along) * ramp(1.04, 0.93, along)
    hairs = value_noise(np.stack([(x - 0.7 * y) / 0.55, (y + 0.7 * x) / 5.0, 0 * x], axis=-1), seed)
    return np.asarray(inside * (points[..., 2] > 35) * np.clip(0.78 + 0.6 * hairs, 0.0, 1.0))


class SolidTexture:
    """The colour and gloss of every point of a head at rest."""

    def __init__(self, frame: FaceFrame, seed: int) -> None:
        self.frame = frame
        self.seed = seed

    def colour(self, metres: Array, masks: Mapping[str, Array]) -> Array:
        """(..., 3) RGB in [0, 1].

        Args:
            metres: (..., 3) points of the rest shape.
            masks: region name -> (...) share in [0, 1].
        """
        p = self.frame.coordinates(metres)
        zero = np.zeros(p.shape[:-1])

        def mask(name: str) -> Array:
            return masks.get(name, zero)

        strands = value_noise(hair_direction(p) / [1.2, 6.0, 1.0], self.seed + 41)
        edge = 0.22 * fractal_noise(p / 5.0, self.seed + 20)
        scalp = mask("scalp")
        hair = ramp(0.25, 0.75, scalp + edge + 0.35 * strands * (1 - np.abs(2 * scalp - 1)))
        hard = np.maximum.reduce([mask(name) for name in SOLID])
        out = np.tile(HAIR, (*p.shape[:-1], 1))

        def paint(amount: Array, layer: Callable[[Array], Array]) -> None:
            seen = amount > 0
            out[seen] = mix(out[seen], layer(p[seen]), amount[seen])

        # Red ears are where the rig says its ears are.
        ears = "ears" in masks
        paint(1.0 * ((hair < 1) & (hard < 1)), lambda q: self._skin(q, ears))
        paint((1 - hair) * (1 - hard) * self._beard(p, mask("neck")), lambda q: np.tile(STUBBLE, (len(q), 1)))
        paint(ramp(0.30, 0.62, mask("lips") + 0.3 * edge), self._lips)
        paint(0.93 * brow_strength(p, self.seed + 30), self._brow)
        paint(hair, self._hair)
        rim, lash = self._lid_edge(p, mask("eyeballs"))
        paint(0.7 * rim, lambda q: np.tile(RIM, (len(q), 1)))
        paint(0.92 * rim * lash, lambda q: np.tile(0.6 * HAIR, (len(q), 1)))
        paint(ramp(0.4, 0.6, mask("mouth")), lambda q: np.tile(MOUTH, (len(q), 1)))
        paint(
            ramp(0.4, 0.6, mask("tongue")), lambda q: TONGUE * (1 + 0.1 * fractal_noise(q / 2.0, 9))[:, None]
        )
        paint(ramp(0.4, 0.6, mask("teeth")), self._teeth)
        paint(ramp(0.4, 0.6, mask("eyeballs")), self._eyes)
        return np.asarray(np.clip(out, 0.0, 1.0))

    def _skin(self, p: Array, ears: bool) -> Array:
        seed = self.seed
        tone = 0.035 * fractal_noise(p / 22.0, seed) + 0.03 * fractal_noise(p / 3.0, seed + 1)
        pores = 0.045 * value_noise(p / 0.75, seed + 2)
        out = SKIN * (1.0 + tone + pores)[..., None]
        flush = (
            0.55 * bump(p, 36, -32, 15, 14) + 0.45 * bump(p, 0, -40, 10, 8) + 0.25 * bump(p, 0, -98, 13, 9)
        )
        flush = flush + ears * 0.5 * ramp(60, 70, np.abs(p[..., 0])) * (p[..., 1] < 22) * (p[..., 1] > -55)
        out = mix(out, RED, np.clip(0.6 * flush * (1 + 0.5 * fractal_noise(p / 6.0, seed + 3)), 0, 1))
        shadow = 0.6 * bump(p, 30, -15, 12, 4) + 0.5 * bump(p, 17, 2, 5, 6)
        out = mix(out, SKIN * [0.72, 0.66, 0.70], 0.55 * shadow)
        where = np.clip(bump(p, 27, -28, 20, 12) + bump(p, 0, -20, 14, 14) + 0.25, 0, 1)
        freckles = ramp(0.1, 0.6, spots(p / 3.6, seed + 4, 0.34)) * ramp(-0.2, 0.5, where - 0.45)
        out = mix(out, SKIN * [0.66, 0.52, 0.45], 0.62 * freckles)
        moles = ramp(0.0, 0.35, spots(p / 34.0, seed + 8, 0.05))
        return mix(out, np.array([0.33, 0.2, 0.16]), 0.8 * moles)

    def _beard(self, p: Array, neck: Array) -> Array:
        """How much stubble there is."""
        x, y, z = np.abs(p[..., 0]), p[..., 1], p[..., 2]
        jaw = ramp(-50, -66, y + 0.30 * np.clip(x - 25, 0, 60)) * ramp(-132, -112, y) * ramp(6, 26, z)
        jaw = np.maximum(jaw, bump(p, 0, -58, 17, 4.0))
        jaw = jaw * (1 - 0.85 * bump(p, 0, -70, 21, 5)) * (1 - 0.5 * neck)
        seen = jaw > 0.01
        dots = ramp(0.15, 0.7, spots(p[seen] / 1.25, self.seed + 10, 0.42))
        out = np.zeros(p.shape[:-1])
        out[seen] = jaw[seen] * (0.13 + 0.32 * dots)
        return out

    def _brow(self, p: Array) -> Array:
        return HAIR * (0.85 + 0.5 * self._strand(p))[..., None]

    def _lips(self, p: Array) -> Array:
        lines = value_noise(
            np.stack([p[..., 0] / 0.75, p[..., 1] / 7.0, p[..., 2] / 7.0], -1), self.seed + 21
        )
        patch = fractal_noise(p / 4.0, self.seed + 22)
        inner = np.exp(-(((p[..., 1] + 70.0) / 1.7) ** 2))
        return LIPS * (1.0 + 0.13 * lines + 0.07 * patch - 0.28 * inner)[..., None]

    def _strand(self, p: Array) -> Array:
        combed = hair_direction(p)
        return 0.55 * value_noise(combed / [0.8, 16.0, 1.0], self.seed + 40) + 0.45 * value_noise(
            combed / [2.6, 26.0, 1.0] + 7.0, self.seed + 42
        )

    def _hair(self, p: Array) -> Array:
        patch = 0.18 * fractal_noise(p / 16.0, self.seed + 43)
        return HAIR * (1.0 + 0.8 * self._strand(p) + patch)[..., None]

    def _lid_edge(self, p: Array, eyeballs: Array) -> tuple[Array, Array]:
        """Where the lids touch the eyeball, and how much lash there is (upper lid)."""
        offset = p - [0, 0, EYE_DEPTH]
        offset = np.stack([np.abs(offset[..., 0]) - HALF_PUPIL_DISTANCE, offset[..., 1], offset[..., 2]], -1)
        if self.frame.eye_radius <= 0:
            return 0.0 * eyeballs, 0.0 * eyeballs
        gap = np.linalg.norm(offset, axis=-1) - self.frame.eye_radius
        rim = ramp(1.2, 0.6, gap) * ramp(0.5, 0.1, eyeballs) * (offset[..., 2] > 2)
        return rim, ramp(-1.0, 2.0, offset[..., 1])

    def _teeth(self, p: Array) -> Array:
        # Tooth widths from the midline outwards: incisors, canine, premolars, molars (mm).
        edges = np.array([0.0, 8.2, 14.6, 20.6, 26.0, 31.0, 38.0])
        arc = 28.0 * np.arctan2(np.abs(p[..., 0]), np.maximum(p[..., 2] - 54.0, 1.0))
        gap = np.abs(arc[..., None] - edges).min(axis=-1)
        gum = ramp(9.5, 11.5, np.abs(p[..., 1] + 69.2))
        tooth = TOOTH * (1.0 - 0.42 * np.exp(-((gap / 0.45) ** 2)))[..., None]
        return mix(tooth, np.array([0.70, 0.38, 0.37]), gum)

    def _eyes(self, p: Array) -> Array:
        x = np.abs(p[..., 0]) - HALF_PUPIL_DISTANCE
        y, z = p[..., 1], p[..., 2] - EYE_DEPTH
        radius = np.hypot(x, y) * 12.0 / max(self.frame.eye_radius, 1e-6)
        radius = np.where(z > 0, radius, 12.0)
        turn = np.arctan2(y, x)
        fibre = value_noise(
            np.stack([16 * np.cos(turn), 16 * np.sin(turn), radius / 2.5], -1), self.seed + 50
        )
        veins = ramp(0.55, 0.75, 1 - np.abs(fractal_noise(p / 2.4, self.seed + 51)))
        white = mix(
            np.broadcast_to(SCLERA, p.shape), np.array([0.80, 0.42, 0.38]), 0.3 * veins * ramp(7, 12, radius)
        )
        glow = np.array([0.52, 0.43, 0.25])
        iris = mix(IRIS * (1.0 + 0.38 * fibre)[..., None], glow, 0.65 * ramp(3.9, 2.3, radius))
        iris = iris * (1.0 - 0.62 * ramp(4.9, 5.8, radius))[..., None]
        out = mix(white, iris, ramp(6.15, 5.75, radius))
        return mix(out, np.array([0.02, 0.02, 0.025]), ramp(2.35, 2.05, radius))


def lattice(size: int) -> Array:
    """((size+1)(size+2)/2, 3) barycentric coordinates of a triangle's lattice, row by row."""
    rows = [(size - i - j, i, j) for i in range(size + 1) for j in range(size + 1 - i)]
    return np.asarray(rows, dtype=np.float64) / size


def bake(texture: SolidTexture, rest: RestMesh, size: int, chunk: int = 1500) -> np.ndarray:
    """(F, L, 3) uint8 colours on the lattice of every triangle."""
    vertices = rest.vertices.double().cpu().numpy()
    triangles = rest.topology.triangles.cpu().numpy()
    masks = vertex_masks(rest, texture.frame)
    weights = lattice(size)
    pieces = []
    for start in range(0, len(triangles), chunk):
        rows = slice(start, start + chunk)
        corners = triangles[rows]
        points = np.einsum("lk,fkc->flc", weights, vertices[corners])
        here = {
            name: np.repeat(
                rest.topology.regions[name].cpu().numpy()[rows, None].astype(np.float64), len(weights), axis=1
            )
            if name in SOLID
            else values[corners] @ weights.T
            for name, values in masks.items()
        }
        pieces.append(np.round(255 * texture.colour(points, here)).astype(np.uint8))
    return np.concatenate(pieces)

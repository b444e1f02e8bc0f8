"""The expression shapes of the built-in head: displacements over its front, mm at coefficient 1."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from surfhead.plugins.rigs.procedural.head import HeadBuilder, HeadMesh
from surfhead.plugins.rigs.procedural.skin import Lids
from surfhead.plugins.rigs.procedural.surface import MOUTH_HEIGHT, Array, HeadShape, smooth_step

EXPRESSIONS = (
    "mouth_open",
    "smile_left",
    "smile_right",
    "frown_left",
    "frown_right",
    "pucker",
    "lip_stretch",
    "upper_lip_raise",
    "lower_lip_depress",
    "lip_press",
    "cheek_puff_left",
    "cheek_puff_right",
    "cheek_suck",
    "jaw_sideways",
    "brow_raise_left",
    "brow_raise_right",
    "brow_lower",
    "brow_inner_raise",
    "blink_left",
    "blink_right",
    "eye_wide",
    "squint",
    "nose_wrinkle",
    "chin_raise",
)

CLOSED = Lids(-1.6, -2.0)
WIDE = Lids(7.8, -5.2)
SQUINT = Lids(4.2, -2.2)

Field = Callable[["Face"], Array]


class Face:
    """The coordinates in which fields are written: over the front of the face, millimetres."""

    def __init__(self, head: HeadMesh) -> None:
        self.head = head
        soft = head.of("skin", "mouth_bag")
        self.x, self.y, self.z = head.vertices.T
        # The mouth's bag moves with the lips it hangs on.
        bag = head.of("mouth_bag")
        self.x = np.where(bag, head.front[:, 0] * 0.97, self.x)
        self.y = np.where(bag, head.front[:, 1], self.y)
        self.z = np.where(bag, 88.0, self.z)
        self.soft = soft * smooth_step(-5.0, 35.0, self.z)
        self.upper = np.where(head.side > 0, 1.0, 0.0)
        self.lower = np.where(head.side < 0, 1.0, 0.0)

    def spot(self, x: float, y: float, wide: float, high: float | None = None) -> Array:
        """(V,) a Gaussian about (x, y) on the soft tissue."""
        high = wide if high is None else high
        return np.asarray(
            self.soft * np.exp(-0.5 * (((self.x - x) / wide) ** 2 + ((self.y - y) / high) ** 2))
        )

    def move(self, amount: Array, x: Array | float, y: Array | float, z: Array | float) -> Array:
        """(V, 3) ``amount`` times a direction."""
        return np.asarray(amount[:, None] * np.stack(np.broadcast_arrays(x, y, z, amount)[:3], axis=-1))


def _smile(face: Face, side: float) -> Array:
    corner = face.spot(side * 26, MOUTH_HEIGHT, 11, 10)
    cheek = face.spot(side * 40, -38, 15, 13)
    fold = face.spot(side * 33, -58, 6, 12)
    out = face.move(corner, side * 8.5, 7.5, -4.5)
    out += face.move(cheek, side * 2.5, 5.0, 4.5)
    out += face.move(fold, side * 1.5, 1.5, -2.0)
    return out + face.move(face.spot(side * 34, -14, 12, 6), 0.0, 1.6, 0.8)


def _frown(face: Face, side: float) -> Array:
    corner = face.spot(side * 26, MOUTH_HEIGHT - 2, 11, 10)
    return face.move(corner, side * 2.5, -8.5, -1.5) + face.move(
        face.spot(side * 20, -90, 12, 8), 0.0, -1.0, 1.5
    )


def _pucker(face: Face) -> Array:
    mouth = face.spot(0, MOUTH_HEIGHT, 19, 13)
    narrow = face.move(mouth, -0.42 * face.x, 0.0, 0.0)
    front = face.move(face.spot(0, MOUTH_HEIGHT, 15, 11), 0.0, 0.0, 7.5)
    roll = face.move(face.spot(0, MOUTH_HEIGHT, 13, 6), 0.0, 1.6 * (face.upper - face.lower), 0.0)
    return narrow + front + roll


def _lip_stretch(face: Face) -> Array:
    mouth = face.spot(0, MOUTH_HEIGHT, 30, 13)
    return face.move(mouth, 0.30 * np.clip(face.x, -30, 30), 0.0, -0.10 * np.abs(face.x) - 1.0)


def _mouth_open(face: Face) -> Array:
    lips = face.spot(0, MOUTH_HEIGHT, 18, 12)
    down = face.move(lips * face.lower, 0.0, -7.0, -0.5)
    return down + face.move(lips * face.upper, 0.0, 2.2, 0.8)


def _upper_lip_raise(face: Face) -> Array:
    lips = face.spot(0, MOUTH_HEIGHT + 4, 17, 10)
    wings = face.spot(15, -45, 6, 7) + face.spot(-15, -45, 6, 7)
    return face.move(lips * face.upper, 0.0, 6.0, 1.5) + face.move(wings, 0.0, 2.2, 0.5)


def _lower_lip_depress(face: Face) -> Array:
    return face.move(face.spot(0, MOUTH_HEIGHT - 5, 17, 10) * face.lower, 0.0, -6.0, 1.0)


def _lip_press(face: Face) -> Array:
    lips = face.spot(0, MOUTH_HEIGHT, 20, 7)
    return face.move(lips, 0.06 * face.x, -0.25 * (face.y - MOUTH_HEIGHT), -3.0)


def _cheek_puff(face: Face, side: float) -> Array:
    cheek = face.spot(side * 42, -58, 15, 17)
    return face.move(cheek, side * 9.0, 0.0, 6.5) + face.move(
        face.spot(side * 20, MOUTH_HEIGHT, 10, 12), side * 0.5, 0.0, 2.0
    )


def _cheek_suck(face: Face) -> Array:
    sides = face.spot(44, -58, 13, 15) - face.spot(-44, -58, 13, 15)
    return face.move(sides, -7.0, 0.0, 0.0) + face.move(np.abs(sides), 0.0, 0.0, -4.0)


def _jaw_sideways(face: Face) -> Array:
    low = face.soft * (1.0 - smooth_step(-76.0, -58.0, face.y)) * smooth_step(-135.0, -112.0, face.y)
    lips = face.spot(0, MOUTH_HEIGHT, 20, 8) * face.lower
    amount = np.maximum(low, lips)
    amount = np.where(face.head.of("teeth_lower", "tongue"), 1.0, amount)
    return face.move(amount, 7.0, 0.0, 0.0)


def _brow_raise(face: Face, side: float) -> Array:
    brow = face.spot(side * 27, 19, 15, 9)
    return face.move(brow, 0.0, 8.0, 0.0) + face.move(face.spot(side * 27, 38, 18, 12), 0.0, 3.5, 0.6)


def _brow_lower(face: Face) -> Array:
    out = face.move(face.spot(12, 17, 9, 8), -3.5, -6.0, 1.2) + face.move(
        face.spot(-12, 17, 9, 8), 3.5, -6.0, 1.2
    )
    return out + face.move(face.spot(30, 19, 12, 8) + face.spot(-30, 19, 12, 8), 0.0, -2.5, 0.0)


def _brow_inner_raise(face: Face) -> Array:
    return face.move(face.spot(12, 19, 8, 9) + face.spot(-12, 19, 8, 9), 0.0, 7.0, 0.5)


def _nose_wrinkle(face: Face) -> Array:
    wings = face.spot(14, -40, 6, 8) + face.spot(-14, -40, 6, 8)
    bridge = face.spot(0, -4, 9, 9)
    lip = face.spot(0, -60, 18, 7) * face.upper
    out = face.move(wings, 0.10 * face.x, 4.5, 1.0) + face.move(bridge, 0.0, -1.5, 1.5)
    return out + face.move(lip, 0.0, 2.8, 1.0)


def _chin_raise(face: Face) -> Array:
    chin = face.spot(0, -95, 15, 12)
    lip = face.spot(0, MOUTH_HEIGHT - 4, 16, 7)
    return face.move(chin, 0.0, 4.5, 1.8) + face.move(lip, 0.0, 2.2, 1.8)


def _lids(builder: HeadBuilder, head: HeadMesh, lids: Lids) -> Array:
    """The skin slides over the eyeball: grid rows follow the lids' edges, projected anew."""
    both = {"eye_left": lids, "eye_right": lids}
    return builder.vertices(HeadShape(), both) - head.vertices


def expression_basis(builder: HeadBuilder, head: HeadMesh) -> Array:
    """(K, V, 3) mm per unit coefficient, in the order of ``EXPRESSIONS``."""
    face = Face(head)
    left = (head.vertices[:, 0] > 0)[:, None]
    blink = _lids(builder, head, CLOSED)
    wide, squint = _lids(builder, head, WIDE), _lids(builder, head, SQUINT)
    shapes: dict[str, Array] = {
        "mouth_open": _mouth_open(face),
        "smile_left": _smile(face, 1.0),
        "smile_right": _smile(face, -1.0),
        "frown_left": _frown(face, 1.0),
        "frown_right": _frown(face, -1.0),
        "pucker": _pucker(face),
        "lip_stretch": _lip_stretch(face),
        "upper_lip_raise": _upper_lip_raise(face),
        "lower_lip_depress": _lower_lip_depress(face),
        "lip_press": _lip_press(face),
        "cheek_puff_left": _cheek_puff(face, 1.0),
        "cheek_puff_right": _cheek_puff(face, -1.0),
        "cheek_suck": _cheek_suck(face),
        "jaw_sideways": _jaw_sideways(face),
        "brow_raise_left": _brow_raise(face, 1.0),
        "brow_raise_right": _brow_raise(face, -1.0),
        "brow_lower": _brow_lower(face),
        "brow_inner_raise": _brow_inner_raise(face),
        "blink_left": np.where(left, blink, 0.0),
        "blink_right": np.where(left, 0.0, blink),
        "eye_wide": wide,
        "squint": squint + face.move(face.spot(36, -22, 13, 8) + face.spot(-36, -22, 13, 8), 0.0, 3.0, 1.5),
        "nose_wrinkle": _nose_wrinkle(face),
        "chin_raise": _chin_raise(face),
    }
    return np.stack([shapes[name] for name in EXPRESSIONS])

"""The light a page shows an avatar under: its own, a named one, an environment, and a lamp."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from surfhead.avatars.avatar import Avatar
from surfhead.maths.lamps import LAMPS, lamp_from
from surfhead.maths.light import Light, about_up
from surfhead.viewing.viewpoint import Viewpoint

LEARNT = "as learnt"
Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Lighting:
    """What a page asks for; the default leaves an avatar as it is.

    Attributes:
        name: ``LEARNT``, a named light, or what ``environment`` is called.
        environment: a light that was sent, or None.
        turn: degrees by which it is turned about the head.
        strength: factor on it.
        lamp: strength of a white lamp.
        direction: unit vector towards the lamp; None: it is at the camera.
    """

    name: str = LEARNT
    environment: Light | None = None
    turn: float = 0.0
    strength: float = 1.0
    lamp: float = 0.0
    direction: Vector | None = None

    @property
    def untouched(self) -> bool:
        """Whether it is the learnt light."""
        return (self.name, self.turn, self.strength, self.lamp) == (LEARNT, 0.0, 1.0, 0.0)

    def light(self, learnt: Light, camera: Vector, target: Vector) -> Light | None:
        """The light to draw under; None: the learnt one, untouched.

        Args:
            learnt: the avatar's own.
            camera, target: world positions of the camera and of the head's middle.
        """
        if self.untouched:
            return None
        base = learnt
        if self.environment is not None and self.name == self.environment.name:
            base = self.environment
        elif self.name in LAMPS:
            base = LAMPS[self.name].light().normalised()
        made = base.turned(about_up(self.turn)).scaled(self.strength)
        if self.lamp > 0.0:
            x, y, z = self.direction or (a - b for a, b in zip(camera, target, strict=True))
            made = made.plus(lamp_from((x, y, z), (self.lamp,) * 3))
        return made


def pointed_at(viewpoint: Viewpoint, x: float, y: float) -> Vector:
    """The unit vector out of a ball before the camera, at a point of the picture.

    Args:
        viewpoint: the camera.
        x, y: shares of the picture's width and height from the upper left corner; the ball's edge is theirs.
    """
    right, down = 2.0 * x - 1.0, 2.0 * y - 1.0
    length = max(math.hypot(right, down), 1.0)
    right, down = right / length, down / length
    back = -math.sqrt(max(1.0 - right * right - down * down, 0.0))
    a, b, c = (right * row[0] + down * row[1] + back * row[2] for row in viewpoint.rotation.tolist())
    return a, b, c


@contextmanager
def lit(avatar: Avatar, lighting: Lighting, camera: Vector, target: Vector) -> Iterator[None]:
    """Draw an avatar under a page's light, and leave it under its own."""
    look = avatar.appearance
    own = look.light() if look.relightable and not lighting.untouched else None
    light = None if own is None else lighting.light(own, camera, target)
    if light is None:
        yield
        return
    look.relight(light)
    try:
        yield
    finally:
        look.relight(None)

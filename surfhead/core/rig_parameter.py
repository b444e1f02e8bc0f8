"""One per-timestep parameter of a rig."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class RigParameter:
    """One per-timestep parameter of a rig.

    Attributes:
        size: number of values.
        rate: learning rate when it is refined in training; None: not trainable.
        description: what the values are, with units.
        axis_angle: whether they are rotation vectors, three values each, which are not added but composed.
        labels: a name for each value, where they have names.
        role: what it is to those who do not know the rig, each role at most once a rig: ``root`` (rotation of
            the whole), ``translation``, ``neck``: the head's pose; ``jaw``, ``gaze`` (a rotation vector an
            eye), ``expression`` (trackers may keep fewer coefficients); ``personal``: of one person's shape,
            never moved to another; empty: any other part of the face's motion.
    """

    size: int
    rate: float | None = None
    description: str = ""
    axis_angle: bool = False
    labels: tuple[str, ...] = ()
    role: str = ""


def with_role(parameters: Mapping[str, RigParameter], role: str) -> str | None:
    """The name of the parameter that plays a role; None where none does."""
    return next((name for name, parameter in parameters.items() if parameter.role == role), None)

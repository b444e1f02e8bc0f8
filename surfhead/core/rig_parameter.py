"""One per-timestep parameter of a rig."""

from __future__ import annotations

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
    """

    size: int
    rate: float | None = None
    description: str = ""
    axis_angle: bool = False
    labels: tuple[str, ...] = ()

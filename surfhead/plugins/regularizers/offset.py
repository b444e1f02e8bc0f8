"""Surfels farther than a limit from their triangle: mean over the visible of relu(|x| - limit).

x is the offset in the host triangle's frame, in units of its scale (GaussianAvatars, position loss).
Surfels without a triangle count as 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from surfhead.core.api import Regularizer, Step, option
from surfhead.kernels import ops


class Offset(Regularizer):
    """Offsets beyond a limit."""

    name = "offset"
    summary = "Surfels farther than a limit from their triangle."
    capturable = True
    weight = 0.01

    @dataclass(frozen=True)
    class Options:
        """How far is far."""

        limit: float = option(
            1.0, "Distance allowed, in units of the triangle's scale (GaussianAvatars: 1).", low=0
        )

    options: Options

    def __call__(self, step: Step) -> Tensor:
        """The mean excess, in units of the triangles' scales."""
        offset = step.binding.parameters["offset"]
        return ops.excess(offset, self.options.limit, step.seen, step.binding.triangle)

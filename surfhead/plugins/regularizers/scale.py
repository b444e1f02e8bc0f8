"""Surfels larger than a limit relative to their triangle: mean over the visible of |relu(s - limit)|.

s holds the two scales in units of the host triangle's scale, | | is the Euclidean norm over them
(GaussianAvatars, scaling loss). Surfels without a triangle count as 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from surfhead.core.api import Regularizer, Step, option
from surfhead.kernels import ops


class Scale(Regularizer):
    """Scales beyond a limit."""

    name = "scale"
    summary = "Surfels larger than a limit relative to their triangle."
    capturable = True
    weight = 1.0

    @dataclass(frozen=True)
    class Options:
        """How large is large."""

        limit: float = option(
            0.6, "Standard deviation allowed, in units of the triangle's scale (GaussianAvatars: 0.6).", low=0
        )

    options: Options

    def __call__(self, step: Step) -> Tensor:
        """The mean excess, in units of the triangles' scales."""
        log_scale = step.binding.parameters["log_scale"]
        return ops.excess(log_scale, self.options.limit, step.seen, step.binding.triangle, each=True)

"""A small residual: the mean square over the sphere of the view-dependent colour that light does not explain.

For harmonics with coefficients c of degree >= 1, the mean over all directions of their squared sum is
Σ c² / 4π a channel (Parseval). The term is its mean over all surfels and channels, seen or not, so that what
no picture shows fades to what albedo and light say. 0 where the parameter is not there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from surfhead.core.api import Regularizer, Step, option
from surfhead.kernels import ops


class Residual(Regularizer):
    """Size of a view-dependent residual."""

    name = "residual"
    summary = "Size of the colour that neither albedo nor light explains."
    capturable = True

    @dataclass(frozen=True)
    class Options:
        """Of which parameter."""

        parameter: str = option(
            "residual", "Per-surfel harmonics (K, 3) above the constant; sh_rest for other appearances."
        )

    options: Options

    def __call__(self, step: Step) -> Tensor:
        """The mean square, in units of colour squared."""
        values = step.binding.parameters.get(self.options.parameter)
        if values is None:
            return step.surfels.opacity.sum() * 0.0
        count = max(values.shape[0] * values.shape[-1], 1)
        squares = ops.weighted_squares(values.flatten(1))
        return squares / (4.0 * math.pi * count)

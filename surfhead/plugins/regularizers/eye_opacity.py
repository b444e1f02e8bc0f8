"""Opaque eyeballs: mean over the eyeballs' surfels of (opacity - 1)² (SurFhead).

Nothing behind an eyeball should show through it; otherwise highlights are explained by surfels inside. All
surfels of the region count, visible or not. 0 where the rig has no regions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from surfhead.core.api import Regularizer, Step, option, unknown_name
from surfhead.maths import launches


class EyeOpacity(Regularizer):
    """Squared transparency of a region."""

    name = "eye_opacity"
    summary = "Opaque eyeballs."
    capturable = True
    weight = 0.1

    @dataclass(frozen=True)
    class Options:
        """Where."""

        region: str = option("eyeballs", "Region of the rig whose surfels should be opaque.")

    options: Options

    def __call__(self, step: Step) -> Tensor:
        """The mean squared transparency. Raises UnknownNameError when the rig has no such region."""
        regions = step.binding.regions
        if not regions:
            return step.surfels.opacity.sum() * 0.0
        if self.options.region not in regions:
            remedy = "Choose with --set regularizers.eye_opacity.region=NAME."
            raise unknown_name("region", self.options.region, regions, remedy)
        index = regions[self.options.region]
        if len(index) == 0:
            return step.surfels.opacity.sum() * 0.0
        inside = launches.index_select(step.surfels.opacity, 0, index)
        return torch.nn.functional.mse_loss(inside, inside.new_ones(()).expand_as(inside))

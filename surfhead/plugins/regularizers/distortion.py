"""Depth distortion along each ray: the mean of the rasterizer's distortion map (2DGS, section 5).

It draws the surfels that share a ray together. The published schedule turns it on after 30k of 300k images.
"""

from __future__ import annotations

from torch import Tensor

from surfhead.core.api import Regularizer, Step
from surfhead.maths import launches


class Distortion(Regularizer):
    """Mean depth distortion."""

    name = "distortion"
    summary = "Depth distortion along each ray."
    capturable = True
    weight = 100.0
    start = 30 / 300

    def __call__(self, step: Step) -> Tensor:
        """The mean over all pixels; differences of nearly equal depths may round below 0 and count as 0."""
        return launches.mean_above_zero(step.output.distortion)

"""Rendered normals against normals of the rendered depth: mean (1 - N_rendered · N_depth) (2DGS, section 5).

N_rendered is the weighted sum of the surfels' normals, N_depth the normal of the depth picture's surface
times alpha (docs/method.md, section 5). Both learn. Pixels where N_depth is not defined (the border, and
where nothing was drawn) carry no gradient and count as 0.

With ``masked`` only the foreground mask counts, so that nothing outside the head is pulled into shape;
data without masks falls back to the whole picture. The published form still divides by all pixels of the
picture (``mean = "picture"``). ``mean = "mask"`` divides by the mask's pixels alone, so that the term does
not depend on how much of the picture the head fills, but is as many times stronger. The published schedule
turns it on after 70k of 300k images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from surfhead.core.api import Regularizer, Step, option
from surfhead.kernels import ops
from surfhead.maths import depth_normals


class Normal(Regularizer):
    """Normal consistency between surfels and depth."""

    name = "normal"
    summary = "Rendered normals against normals of the rendered depth."
    capturable = True
    weight = 0.05
    start = 70 / 300

    @dataclass(frozen=True)
    class Options:
        """Which depth, and where."""

        depth_ratio: float = option(
            0.0, "Depth of the surface: 1 = median, 0 = expected, between = mixed.", low=0, high=1
        )
        mean: Literal["picture", "mask"] = option(
            "picture", "What the sum over pixels is divided by: all pixels, or those of the mask."
        )
        masked: bool = option(
            True,
            "Only inside the foreground mask, where the data has one.",
        )

    options: Options

    def __call__(self, step: Step) -> Tensor:
        """The mean disagreement, in [0, 2]."""
        output = step.output
        mask = step.batch.mask if self.options.masked else None
        depth = depth_normals.surface_depth(output, self.options.depth_ratio)
        total, inside = ops.normal_term(
            depth, output.alpha.detach(), output.normal, step.batch.cameras.intrinsics, mask
        )
        return total / (inside.clamp_min(1.0) if self.options.mean == "mask" else depth.numel())

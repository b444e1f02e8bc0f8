"""Rendered normals against normals of the rendered depth: mean (1 - N_rendered · N_depth) (2DGS, section 5).

N_rendered is the weighted sum of the surfels' normals, N_depth the normal of the depth picture's surface
times alpha (docs/method.md, section 5). Both learn. Pixels where N_depth is not defined (the border, and
where nothing was drawn) carry no gradient and count as 0.

With ``masked`` the mean runs over the foreground mask, so that nothing outside the head is pulled into
shape; data without masks falls back to the whole picture. The published schedule turns it on after 70k of
300k images.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from surfhead.core.api import OptionError, Regularizer, Step, depth_normals, kernels, option
from surfhead.plugins.regularizers.masked_mean import masked_mean


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
            0.0,
            "Depth of the surface: 1 = median, 0 = expected, between = mixed.",
        )
        masked: bool = option(
            True,
            "Only inside the foreground mask, where the data has one.",
        )

        def __post_init__(self) -> None:
            if not 0.0 <= self.depth_ratio <= 1.0:
                raise OptionError(
                    f'Option "depth_ratio" of regularizer "normal" is {self.depth_ratio}.',
                    "Expected a number from 0 (expected depth) to 1 (median depth).",
                    "Set regularizers.normal.depth_ratio.",
                )

    def __call__(self, step: Step) -> Tensor:
        """The mean disagreement, in [0, 2]."""
        output = step.output
        mask = step.batch.mask if self.options.masked else None
        if output.rgb.is_cuda and kernels.cuda.serves(output.rgb):
            surface = depth_normals.surface_depth(output, self.options.depth_ratio)
            intrinsics = step.batch.cameras.intrinsics
            found: Tensor = kernels.cuda.normal_term(
                surface, output.alpha.detach(), output.normal, intrinsics, mask
            )
            return found
        depth = depth_normals.surface_depth(output, self.options.depth_ratio)
        normal, defined = depth_normals.depth_normals(depth, output.alpha, step.batch.cameras.intrinsics)
        disagreement = (1.0 - (output.normal * normal).sum(dim=-1)) * defined
        if mask is not None and step.batch.foreground is not None:
            return masked_mean(disagreement, step.batch.foreground)
        return disagreement.mean()

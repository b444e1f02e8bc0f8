"""Edge-aware smoothness of the inverse depth: |∂ 1/z| exp(-|∂ truth|), both ways (Godard et al. 2017).

The inverse depth is divided by its mean over the drawn pixels, so the term has no unit and does not shrink
the scene (Monodepth2); where nothing was drawn that mean stands in. The formula is kornia's. Off (weight 0)
in the published schedule.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from surfhead.core.api import Regularizer, Step, option
from surfhead.maths import depth_normals


class DepthSmoothness(Regularizer):
    """Edge-aware inverse-depth smoothness."""

    name = "depth_smoothness"
    summary = "Edge-aware smoothness of the inverse depth."
    capturable = True

    @dataclass(frozen=True)
    class Options:
        """Which depth."""

        depth_ratio: float = option(
            0.0, "Depth of the surface: 1 = median, 0 = expected, between = mixed.", low=0, high=1
        )

    options: Options

    def __call__(self, step: Step) -> Tensor:
        """The mean weighted slope of the relative inverse depth."""
        from kornia.losses import inverse_depth_smoothness_loss

        depth = depth_normals.surface_depth(step.output, self.options.depth_ratio)
        drawn = depth > 0
        inverse = 1.0 / torch.where(drawn, depth, torch.ones_like(depth))
        total = (inverse.detach() * drawn).sum(dim=(1, 2), keepdim=True)
        count = drawn.sum(dim=(1, 2), keepdim=True)
        mean = torch.where(count > 0, total / count.clamp_min(1), torch.ones_like(total))
        relative = torch.where(drawn, inverse / mean, torch.ones_like(depth))
        picture = step.batch.target.permute(0, 3, 1, 2)
        loss: Tensor = inverse_depth_smoothness_loss(relative[:, None], picture)
        return loss

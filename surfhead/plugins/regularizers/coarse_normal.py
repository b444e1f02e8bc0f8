"""Rendered normals against normals of the rendered depth, both averaged over blocks of pixels.

Where the colour depends on the normal (appearance `lit`), what the light does not explain bends normals over
wide parts of the skin, while the depth, which several cameras agree on, knows these parts well. The term is
the one of `normal` (2DGS, section 5) for pictures that are coarser by ``block``: their normals have the
direction of the drawn ones' mean, and their depth's normal is that of the blocks' mean depths. So it holds
the large form, and leaves relief within a block to what the pixels say. Blocks that are not wholly inside the
mask, or whose depth jumps, do not count, nor do those beside them, whose differences would be taken there.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d

from surfhead.core.api import Regularizer, Step, option
from surfhead.kernels import ops

STEEPEST = 3.0  # of a surface within a block: its range of depths, in units of the block's width
SMALLEST = 1e-3  # length of a block's mean normal that has a direction
WHOLE = 254.0  # of 255, mean of a mask over a block that is wholly inside


class CoarseNormal(Regularizer):
    """Consistency of the large form's normals between surfels and depth."""

    name = "coarse_normal"
    summary = "Rendered normals against normals of the rendered depth, averaged over blocks of pixels."
    capturable = True
    weight = 0.2
    start = 70 / 300

    @dataclass(frozen=True)
    class Options:
        """How coarse."""

        block: int = option(8, "Pixels a side of a block.", low=2, high=64)

    options: Options

    def __call__(self, step: Step) -> Tensor:
        """The mean disagreement over all blocks, in [0, 2]."""
        output, size = step.output, self.options.block
        depth, alpha = output.depth, output.alpha.detach()
        if min(depth.shape[1:]) < 3 * size:
            return depth.sum() * 0.0
        intrinsics = step.batch.cameras.intrinsics / size
        intrinsics = torch.cat((intrinsics[:, :2], step.batch.cameras.intrinsics[:, 2:]), dim=1)
        coarse = avg_pool2d(depth, size)
        with torch.no_grad():
            least = -max_pool2d(-depth, size)
            steep = max_pool2d(depth, size) - least > STEEPEST * coarse / intrinsics[:, 0, 0, None, None]
            inside = (least > 0) & ~steep
            if step.batch.mask is not None:
                inside &= avg_pool2d(step.batch.mask.to(depth.dtype), size) > WHOLE
            weight = avg_pool2d(alpha, size) * inside  # no normal beside a block of 0, either
        mean = avg_pool2d(output.normal.permute(0, 3, 1, 2), size).permute(0, 2, 3, 1)
        # of one length, so that all of a block's normals are turned alike and relief does not shorten it
        normal = torch.nn.functional.normalize(mean, dim=-1, eps=SMALLEST)
        total, _ = ops.normal_term(coarse, weight, normal, intrinsics, None)
        return total / coarse.numel()

"""Rendered normals against normals of the rendered depth, both averaged over blocks of pixels.

Where the colour depends on the normal (appearance `lit`), what the light does not explain bends normals over
wide parts of the skin, while the depth, which several cameras agree on, knows these parts well. The term is
the one of `normal` (2DGS, section 5) for blocks in place of pixels: 1 - N · N_depth, with N the direction of
the block's mean normal, and N_depth the normal of the plane that fits the block's depths best. So it turns a
block's normals as a whole, and leaves the relief within it to what the pixels say.

The plane z = z0 + p u + q v over the pixels' places u, v, from the block's centre, has p = mean(z u) over
mean(u²) (least squares; u, v and 1 are orthogonal on a block). With the ray (x, y, 1) through the centre and
focal lengths f, g its tangents are (z0/f + x p, y p, p) and (x q, z0/g + y q, q). Blocks that are not wholly
drawn do not count, and hardly those that are not wholly inside the mask, or in which the depth jumps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from surfhead.core.api import Regularizer, Step, option

STEEPEST = 3.0  # of a surface within a block: its range of depths, in units of the block's width
SMALLEST = 1e-3  # length of a block's mean normal that has a direction
CUT = 32  # power of the share of a block that is inside the mask, by which it counts


class CoarseNormal(Regularizer):
    """Consistency of the large form's normals between surfels and depth."""

    name = "coarse_normal"
    summary = "Rendered normals against normals of the rendered depth, averaged over blocks of pixels."
    capturable = True
    weight = 0.1
    start = 70 / 300

    @dataclass(frozen=True)
    class Options:
        """How coarse."""

        block: int = option(8, "Pixels a side of a block.", low=2, high=64)

    options: Options

    def __call__(self, step: Step) -> Tensor:
        """The mean disagreement over all blocks, in [0, 2]."""
        output, size = step.output, self.options.block
        if min(output.depth.shape[1:]) < size:
            return output.depth.sum() * 0.0
        depth, intrinsics = _blocks(output.depth, size), step.batch.cameras.intrinsics
        with torch.no_grad():
            weight = _weight(depth, step.batch.mask, intrinsics)
        total = _blocks(output.normal, size).sum(dim=(2, 4))
        agreement = (_unit(total, SMALLEST * size * size) * _plane_normals(depth, intrinsics)).sum(dim=-1)
        return ((1.0 - agreement) * weight).mean()


def _blocks(picture: Tensor, size: int) -> Tensor:
    """(B, H // size, size, W // size, size, ...) of (B, H, W, ...): by blocks, and within them."""
    height, width = picture.shape[1] // size, picture.shape[2] // size
    whole = picture[:, : height * size, : width * size]
    return whole.reshape(len(picture), height, size, width, size, *picture.shape[3:])


def _unit(vectors: Tensor, least: float) -> Tensor:
    """Vectors (..., 3) over their lengths, or over ``least`` where they are shorter."""
    return vectors * vectors.square().sum(dim=-1, keepdim=True).clamp_min(least * least).rsqrt()


def _weight(depth: Tensor, mask: Tensor | None, intrinsics: Tensor) -> Tensor:
    """(B, H', W') in [0, 1], how much blocks of depths (B, H', s, W', s) count."""
    size = depth.shape[2]
    greatest, least = depth.amax(dim=(2, 4)), depth.amin(dim=(2, 4))
    width = size * 0.5 * (greatest + least) / intrinsics[:, 0, 0, None, None]  # metres
    steepness = (greatest - least) / (STEEPEST * width).clamp_min(1e-12)
    weight = (least > 0) / (1.0 + steepness**8)
    if mask is None:
        return weight
    return weight * (_blocks(mask, size).to(depth.dtype).mean(dim=(2, 4)) / 255.0) ** CUT


def _plane_normals(depth: Tensor, intrinsics: Tensor) -> Tensor:
    """(B, H', W', 3) unit normals, towards the camera, of planes that fit depths (B, H', s, W', s) best."""
    height, size, width = depth.shape[1:4]
    away = torch.arange(size, dtype=depth.dtype, device=depth.device) - 0.5 * (size - 1)
    spread = size * size * (size * size - 1) / 12.0  # sum of u² over a block
    rows, columns = depth.sum(dim=4), depth.sum(dim=2)  # (B, H', s, W'), (B, H', W', s)
    middle = columns.sum(dim=3) / (size * size)
    across = (columns * away).sum(dim=3) / spread
    down = (rows * away[:, None]).sum(dim=2) / spread
    column = (torch.arange(width, dtype=depth.dtype, device=depth.device) + 0.5) * size
    row = (torch.arange(height, dtype=depth.dtype, device=depth.device) + 0.5) * size
    focal_x, focal_y = intrinsics[:, 0, 0, None, None], intrinsics[:, 1, 1, None, None]
    x = (column - intrinsics[:, 0, 2, None, None]) / focal_x  # (B, 1, W')
    y = (row[:, None] - intrinsics[:, 1, 2, None, None]) / focal_y  # (B, H', 1)
    # the cross product of both tangents, downwards times across, over z0
    normal = (across * focal_x, down * focal_y, -(middle + x * across * focal_x + y * down * focal_y))
    return _unit(torch.stack(normal, dim=-1), 1e-12)

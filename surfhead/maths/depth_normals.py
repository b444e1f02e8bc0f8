"""Normals of the surface that a depth picture describes (docs/method.md, section 5; 2DGS, section 5)."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

SMALLEST_AREA = 1e-12  # square metres; two pixels at a hand's breadth from any real lens span far more


class Depths(Protocol):
    """Two depths of what was rendered, each (B, H, W) camera z in metres."""

    @property
    def depth(self) -> Tensor:
        """Expected depth."""

    @property
    def median_depth(self) -> Tensor:
        """Median depth."""


def surface_depth(output: Depths, depth_ratio: float) -> Tensor:
    """(B, H, W) the surface's camera z in metres; 0 where nothing was drawn.

    Args:
        output: what was rendered.
        depth_ratio: 1 = median depth, 0 = expected depth, between: their mixture.
    """
    if depth_ratio == 0.0:
        return output.depth
    if depth_ratio == 1.0:
        return output.median_depth
    return torch.lerp(output.depth, output.median_depth, depth_ratio)


def depth_normals(depth: Tensor, alpha: Tensor, intrinsics: Tensor) -> tuple[Tensor, Tensor]:
    """Camera-space normals, turned towards the camera, of a depth picture.

    With P the points seen at the pixels' centres, normalise(dP/drow x dP/dcolumn) by central differences,
    multiplied by alpha, which gets no gradient.

    Args:
        depth: (B, H, W) camera z, metres.
        alpha: (B, H, W) accumulated weight in [0, 1].
        intrinsics: (B, 3, 3) in pixels.

    Returns:
        (B, H, W, 3) normals times alpha, and (B, H, W) bool where they are defined: not on the border, nor
        where alpha is 0 at the pixel or at one of the four whose differences are taken. Undefined normals
        are 0 and pass no gradient.
    """
    batch, height, width = depth.shape
    if height < 3 or width < 3:
        return depth.new_zeros(batch, height, width, 3), torch.zeros_like(depth, dtype=torch.bool)
    focal_x, focal_y = intrinsics[:, 0, 0, None], intrinsics[:, 1, 1, None]
    column = torch.arange(width, dtype=depth.dtype, device=depth.device) + 0.5
    row = torch.arange(height, dtype=depth.dtype, device=depth.device) + 0.5
    ray_x = ((column - intrinsics[:, 0, 2, None]) / focal_x)[:, None, :]  # (B, 1, W)
    ray_y = ((row - intrinsics[:, 1, 2, None]) / focal_y)[:, :, None]  # (B, H, 1)

    drawn = alpha > 0
    inside = drawn[:, 1:-1, 1:-1] & drawn[:, 1:-1, :-2] & drawn[:, 1:-1, 2:]
    inside = inside & drawn[:, :-2, 1:-1] & drawn[:, 2:, 1:-1]

    # by components: x and y of the differences of P = (ray_x z, ray_y z, z)
    left, right = depth[:, 1:-1, :-2], depth[:, 1:-1, 2:]
    above, below = depth[:, :-2, 1:-1], depth[:, 2:, 1:-1]
    middle_x, middle_y = ray_x[:, :, 1:-1], ray_y[:, 1:-1]
    across_z, down_z = right - left, below - above
    across_x = ray_x[:, :, 2:] * right - ray_x[:, :, :-2] * left
    across_y = middle_y * across_z
    down_x = middle_x * down_z
    down_y = ray_y[:, 2:] * below - ray_y[:, :-2] * above
    entries = (
        down_y * across_z - down_z * across_y,
        down_z * across_x - down_x * across_z,
        down_x * across_y - down_y * across_x,
    )
    # a constant goes in before the division, so that undefined pixels pass no NaN back
    constant = (0.0, 0.0, -1.0)
    normal = torch.stack(
        [torch.where(inside, entry, value) for entry, value in zip(entries, constant, strict=True)], dim=-1
    )
    unit = torch.nn.functional.normalize(normal, dim=-1, eps=SMALLEST_AREA)
    weight = alpha[:, 1:-1, 1:-1].detach() * inside
    border = (1, 1, 1, 1)
    return (
        torch.nn.functional.pad(unit * weight[..., None], (0, 0, *border)),
        torch.nn.functional.pad(inside, border),
    )

"""What densifiers are told of a step: how strongly it pulls at the surfels on the screen."""

from __future__ import annotations

import torch
from torch import Tensor

from surfhead import kernels


def screen_gradients(
    g_mean: Tensor,
    mean: Tensor,
    camera_from_world: Tensor,
    intrinsics: Tensor,
    size: tuple[int, int],
    visible: Tensor,
    radius: Tensor,
    sums: tuple[Tensor, Tensor, Tensor],
) -> None:
    """Add a step of B views to running sums (method: section 5, densification statistic).

    For view b of B: ``g = B |dL/d(centre in normalised device coordinates)|`` with
    ``g_x = dL/dm_x * m_z / fx * W / 2``, m the centre in camera space, L the batch's mean loss.

    Args:
        g_mean: (B, N, 3) gradient of the world centres.
        mean: (B, N, 3) the world centres, metres.
        camera_from_world: (B, 4, 4). intrinsics: (B, 3, 3).
        size: (height, width) in pixels.
        visible: (B, N) bool.
        radius: (B, N) pixels.
        sums: updated in place, each (N,): gradients g, number of views that saw the surfel, largest radius.
    """
    if kernels.serves(mean):
        from surfhead.kernels import cuda

        cuda.screen_gradients(g_mean, mean, camera_from_world, intrinsics, size, visible, radius, sums)
        return
    turn = camera_from_world[:, :3, :3]
    gradient = torch.einsum("bij,bnj->bni", turn[:, :2], g_mean)
    z = torch.einsum("bj,bnj->bn", turn[:, 2], mean) + camera_from_world[:, 2, 3][:, None]
    height, width = size
    half = torch.stack((width / 2 / intrinsics[:, 0, 0], height / 2 / intrinsics[:, 1, 1]), dim=-1)
    screen = gradient * z[..., None] * half[:, None, :]
    # in place: a captured step has no other sums than these
    total, seen, largest = sums
    total += len(mean) * (screen.norm(dim=-1) * visible).sum(0)
    seen += visible.sum(0)
    torch.maximum(largest, radius.to(largest).amax(0), out=largest)

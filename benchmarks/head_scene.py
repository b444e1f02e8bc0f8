"""A head-sized ellipsoid of surfels made from a seed: the work that rasterizers are timed on.

Metres. The head is centred at the origin, the camera one metre in front of it, at half the NeRSemble
resolution (802 x 550) unless told otherwise. The surfels cover the ellipsoid's area about once at one
standard deviation, with log-normal sizes, tilted normals, and opacities around 0.73. A batch turns the head a
few degrees from view to view: as many poses as views.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from surfhead.core.api import Cameras, WorldSurfels

AXES = (0.085, 0.125, 0.10)  # metres


def head_scene(
    count: int,
    views: int = 1,
    height: int = 802,
    width: int = 550,
    device: str = "cuda",
    seed: int = 0,
) -> tuple[WorldSurfels, Tensor, Cameras, Tensor, Tensor]:
    """Surfels, colour (B, N, 3), cameras, pose of view and background of ``views`` views."""
    generator = torch.Generator().manual_seed(seed)
    axes = torch.tensor(AXES)
    direction = torch.randn(count, 3, generator=generator)
    direction = direction / direction.norm(dim=1, keepdim=True)
    mean = direction * axes * (1 + 0.01 * torch.randn(count, 1, generator=generator))
    normal = direction / axes
    normal = normal / normal.norm(dim=1, keepdim=True)
    normal = normal + 0.15 * torch.randn(count, 3, generator=generator)
    normal = normal / normal.norm(dim=1, keepdim=True)
    first = torch.linalg.cross(torch.randn(count, 3, generator=generator), normal)
    first = first / first.norm(dim=1, keepdim=True)
    second = torch.linalg.cross(normal, first)
    area = 4 * math.pi * float(axes.prod()) ** (2 / 3) / max(count, 1)
    size = 0.9 * math.sqrt(area) * torch.exp(0.4 * torch.randn(count, 2, generator=generator))
    tangents = torch.stack([first, second], dim=-1) * size[:, None]
    opacity = torch.sigmoid(1.0 + 2.0 * torch.randn(count, generator=generator))
    colour = torch.rand(count, 3, generator=generator)

    turn = torch.linspace(0.0, 0.05 * (views - 1), views)
    spin = torch.eye(3).repeat(views, 1, 1)
    spin[:, 0, 0], spin[:, 0, 2] = turn.cos(), turn.sin()
    spin[:, 2, 0], spin[:, 2, 2] = -turn.sin(), turn.cos()
    pose = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    pose[2, 3] = 1.0
    focal = height / 0.32
    intrinsics = torch.tensor([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])
    surfels = WorldSurfels(
        (mean @ spin.mT).to(device),
        (spin[:, None] @ tangents).contiguous().to(device),
        (normal @ spin.mT).to(device),
        opacity.to(device),
    )
    cameras = Cameras(pose.repeat(views, 1, 1), intrinsics.repeat(views, 1, 1), height, width).to(device)
    colours = colour.expand(views, count, 3).contiguous().to(device)
    return surfels, colours, cameras, torch.arange(views).to(device), torch.ones(views, 3).to(device)

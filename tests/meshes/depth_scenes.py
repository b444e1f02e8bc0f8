"""Exact depth pictures of simple solids, for tests of fusion."""

from __future__ import annotations

import torch
from torch import Tensor

from surfhead.core.types import Cameras
from surfhead.drawing.camera_path import around
from surfhead.meshes.depth_pictures import DepthPictures

RADIUS = 0.05  # metres


def rays(cameras: Cameras) -> Tensor:
    """(B, H, W, 3) camera-space directions through the pixels' centres, z = 1."""
    column = torch.arange(cameras.width, dtype=torch.float64) + 0.5
    row = torch.arange(cameras.height, dtype=torch.float64) + 0.5
    y, x = torch.meshgrid(row, column, indexing="ij")
    pixels = torch.stack([x, y, torch.ones_like(x)], dim=-1)
    return pixels @ torch.linalg.inv(cameras.intrinsics.double())[:, None].mT


def sphere(views: int = 12, size: int = 64, radius: float = RADIUS) -> DepthPictures:
    """A sphere about the origin, coloured by its world normal, seen from all sides but from far below."""
    side = torch.full((3,), 1.1 * radius)
    cameras = around(-side, side, views, (size, size))
    ray = rays(cameras)
    pose = cameras.camera_from_world.double()
    a, b = (ray * ray).sum(-1), (ray * pose[:, None, None, :3, 3]).sum(-1)
    root = b * b - a * ((pose[:, :3, 3] ** 2).sum(-1) - radius**2)[:, None, None]
    depth = torch.where(root > 0, (b - root.clamp_min(0).sqrt()) / a, 0.0)
    point = (ray * depth[..., None] - pose[:, None, None, :3, 3]) @ pose[:, None, :3, :3]
    rgb = (0.5 + 0.5 * point / radius) * (depth > 0)[..., None]
    return DepthPictures(cameras, depth.float(), (depth > 0).float(), rgb.float())


def facing_plane(distance: float, behind: bool = False, slope: float = 0.0, size: int = 48) -> DepthPictures:
    """A plane z = slope x, seen from -z (or +z) at a distance of its origin; 0.2 m wide in the picture.

    With x and z to the right and away from a camera on -z.
    """
    turn = -1.0 if behind else 1.0
    pose = torch.diag(torch.tensor([turn, 1.0, turn, 1.0]))[None]
    pose[0, 2, 3] = distance
    focal = size * distance / 0.2
    lens = torch.tensor([[[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1.0]]])
    cameras = Cameras(pose, lens, size, size)
    depth = (distance / (1.0 - slope * rays(cameras)[..., 0])).float()
    rgb = torch.full((1, size, size, 3), 0.25)
    return DepthPictures(cameras, depth, torch.ones_like(depth), rgb)

"""Scenes for the rasterizer tests: every kind of surfel there is, and a real capture.

Values are float32 numbers held in float64, so that kernels in either precision see the same scene.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from surfhead.core.api import Cameras, WorldSurfels
from tests.gpu.scenes import Drawing

GARDEN = Path(__file__).parents[4] / "shared" / "data" / "garden_points.npz"


def cast(drawing: Drawing, dtype: torch.dtype) -> Drawing:
    """The same scene in ``dtype``."""
    return drawing.to("cpu", dtype)


def look(views: int, height: int, width: int, focal: float, generator: torch.Generator) -> Cameras:
    """Cameras one metre and a half from the origin, looking near it, principal points off the centre."""
    axis = torch.randn(views, 3, generator=generator, dtype=torch.float64)
    angle = axis.norm(dim=1)[:, None, None]
    cross = torch.linalg.matrix_exp(
        torch.stack([_skew(a) for a in axis / axis.norm(dim=1, keepdim=True)]) * (0.4 * angle)
    )
    pose = torch.eye(4, dtype=torch.float64).repeat(views, 1, 1)
    pose[:, :3, :3] = cross
    pose[:, 2, 3] = 1.5
    K = torch.eye(3, dtype=torch.float64).repeat(views, 1, 1)
    K[:, 0, 0], K[:, 1, 1] = focal, 1.1 * focal
    K[:, 0, 2] = width * (0.5 + 0.4 * (torch.rand(views, generator=generator, dtype=torch.float64) - 0.5))
    K[:, 1, 2] = height * (0.5 + 0.4 * (torch.rand(views, generator=generator, dtype=torch.float64) - 0.5))
    return Cameras(pose.float().double(), K.float().double(), height, width)


def _skew(a: Tensor) -> Tensor:
    zero = a.new_zeros(())
    return torch.stack([zero, -a[2], a[1], a[2], zero, -a[0], -a[1], a[0], zero]).view(3, 3)


def mixed(
    seed: int, count: int = 600, views: int = 1, poses: int = 1, height: int = 61, width: int = 83
) -> Drawing:
    """Sheared surfels in six groups: ordinary, grazing or edge-on, tiny, huge, behind the camera, stacked."""
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    cameras = look(views, height, width, 0.9 * width, g)
    mean = 0.35 * normal(poses, count, 3)
    frame = torch.linalg.qr(normal(poses, count, 3, 3))[0]
    scale = 0.04 * torch.exp(0.5 * normal(1, count, 1, 2))
    group = torch.arange(count) % 12  # 0-5 ordinary, then two for each special kind
    centre = cameras.centre[0]
    ray = mean - centre
    ray = ray / ray.norm(dim=-1, keepdim=True)
    # Grazing: one axis along the ray of the first view but for a few hundredths; edge-on: for a millionth.
    for kind, off in ((6, 0.03), (7, 1e-6)):
        first = ray + off * normal(poses, count, 3)
        made = torch.linalg.qr(
            torch.stack([first, normal(poses, count, 3), normal(poses, count, 3)], dim=-1)
        )[0]
        frame = torch.where((group == kind)[None, :, None, None], made, frame)
    scale = torch.where((group == 8)[None, :, None, None], 1e-3 * scale, scale)
    scale = torch.where(((group == 9) & (torch.arange(count) < 60))[None, :, None, None], 40 * scale, scale)
    mean = torch.where((group == 10)[None, :, None], centre + 2.0 * (centre - mean), mean)
    mean = torch.where((group == 11)[None, :, None], 0.02 * mean, mean)
    shear = torch.eye(2, dtype=torch.float64) + 0.3 * normal(1, count, 2, 2)
    tangents = frame[..., :2] * scale @ shear
    surfels = WorldSurfels(
        *(
            t.float().double()
            for t in (mean, tangents, frame[..., 2], torch.sigmoid(1.0 + 2.0 * normal(count)))
        )
    )
    return Drawing(
        surfels,
        torch.rand(views, count, 3, generator=g, dtype=torch.float64).float().double(),
        cameras,
        torch.arange(views) % poses,
        torch.rand(views, 3, generator=g, dtype=torch.float64).float().double(),
    )


def few(seed: int, count: int = 5, views: int = 1, poses: int = 1, side: int = 5) -> Drawing:
    """A handful of surfels on a handful of pixels with mild derivatives, for finite differences."""
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    mean = normal(poses, count, 3) * torch.tensor([0.5, 0.5, 0.6])
    frame = torch.linalg.qr(normal(poses, count, 3, 3))[0]
    tangents = frame[..., :2] * (0.35 + 0.4 * torch.rand(1, count, 1, 2, generator=g, dtype=torch.float64))
    tangents = tangents + 0.1 * normal(poses, count, 3, 2)
    cameras = look(views, side, side, float(side), g)
    return Drawing(
        WorldSurfels(
            mean, tangents, frame[..., 2], 0.2 + 0.8 * torch.rand(count, generator=g, dtype=torch.float64)
        ),
        torch.rand(views, count, 3, generator=g, dtype=torch.float64),
        cameras,
        torch.arange(views) % poses,
        torch.rand(views, 3, generator=g, dtype=torch.float64),
    )


def garden(shrink: int, every: int) -> Drawing:
    """Every so many of a real capture's 138k points, three cameras, small pictures; spaced discs."""
    from scipy.spatial import cKDTree

    with np.load(GARDEN) as data:
        points = data["points"][::every].astype(np.float64)
        colours = data["colors"][::every].astype(np.float32).astype(np.float64) / 256.0
        pose = torch.from_numpy(data["w2c"].astype(np.float64))
        K = torch.from_numpy(data["K"].astype(np.float64)).clone()
        height, width = int(data["height"]) // shrink, int(data["width"]) // shrink
    K[:, :2] /= shrink
    K = K.float().double()
    spacing = cKDTree(points).query(points, k=4)[0][:, 1:].mean(axis=1)
    g = torch.Generator().manual_seed(0)
    frame = torch.linalg.qr(torch.randn(len(points), 3, 3, generator=g, dtype=torch.float64))[0]
    size = torch.from_numpy(spacing.clip(1e-6))[:, None, None]
    surfels = WorldSurfels(
        torch.from_numpy(points)[None],
        (frame[None, :, :, :2] * size).float().double(),
        frame[None, :, :, 2].float().double(),
        torch.sigmoid(2.0 * torch.randn(len(points), generator=g, dtype=torch.float64)).float().double(),
    )
    colour = torch.from_numpy(colours).float().double().expand(3, -1, -1)
    zeros = torch.zeros(3, dtype=torch.int64)
    return Drawing(
        surfels, colour, Cameras(pose, K, height, width), zeros, torch.ones(3, 3, dtype=torch.float64)
    )

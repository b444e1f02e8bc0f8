"""The reference rasterizer: docs/method.md, section 5, in plain differentiable PyTorch.

It defines what is right: the native kernels are tested against it in float64. It runs on any device, in
float32 and float64, with any number of colour channels, and every gradient is autograd's. Surfels are
projected, culled and depth-sorted all at once; then each tile evaluates all its (pixel, surfel) pairs as
one matrix, checkpointed, so that the graph of one tile at a time is alive. Memory is linear in surfels,
pixels and (tile, surfel) intersections.

Source: "2D Gaussian Splatting for Geometrically Accurate Radiance Fields" (SIGGRAPH 2024), sections 4 and 5:
the ray-splat intersection by homogeneous planes and the low-pass filter. Cameras are constants: no gradient
flows to them.

Options: ``tile``, the side of a tile, pixels.

Example: ``surfhead train --rasterizer torch``
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from surfhead.core.api import Cameras, Rasterizer, RenderOutput, WorldSurfels, option

ALPHA_MAX = 0.99
ALPHA_MIN = 1.0 / 255.0
TRANSMITTANCE_MIN = 1e-4
MEDIAN_TRANSMITTANCE = 0.5
DISTORTION_NEAR = 0.2  # metres
DISTORTION_FAR = 100.0  # metres
PAIRS_AT_ONCE = 1 << 20  # bounds a tile's intermediate tensors; larger tiles are cut into runs of pixels


@dataclass(frozen=True)
class _Projected:
    """The visible surfels of one view, nearest first; S of them.

    Attributes:
        fields: (S, 16 + C) M row by row (9), projected centre in pixels (2), depth, opacity, the
            camera-space normal turned towards the camera (3), colour (C).
        box: (S, 4) x0, y0, x1, y1 of the footprint's rectangle, pixels.
        visible: (N,) bool.
        radius: (N,) pixels.
    """

    fields: Tensor
    box: Tensor
    visible: Tensor
    radius: Tensor


class Torch(Rasterizer):
    """The exact reference in PyTorch."""

    name = "torch"
    summary = "The exact differentiable reference in PyTorch, any device and precision."
    priority = 0

    @dataclass(frozen=True)
    class Options:
        """Options of the reference."""

        tile: int = option(16, "side of the square tiles that are evaluated at once, pixels", low=1, high=256)

    options: Options

    def __call__(
        self,
        surfels: WorldSurfels,
        colour: Tensor,
        cameras: Cameras,
        pose_of_view: Tensor,
        background: Tensor,
    ) -> RenderOutput:
        """Draw B views; see ``Rasterizer``."""
        views = [
            _view(surfels, int(pose), colour[b], cameras[b], background[b], self.options.tile)
            for b, pose in enumerate(pose_of_view.tolist())
        ]
        if not views:
            canvas = colour.new_zeros(0, cameras.height, cameras.width, colour.shape[-1] + 7)
            views_visible = torch.zeros(0, len(surfels), dtype=torch.bool, device=colour.device)
            return _output(canvas, views_visible, colour.new_zeros(0, len(surfels)))
        canvas = torch.stack([canvas for canvas, _ in views])
        return _output(
            canvas,
            torch.stack([projected.visible for _, projected in views]),
            torch.stack([projected.radius for _, projected in views]),
        )


def _output(canvas: Tensor, visible: Tensor, radius: Tensor) -> RenderOutput:
    return RenderOutput(
        rgb=canvas[..., :-7],
        normal=canvas[..., -7:-4],
        alpha=canvas[..., -4],
        depth=canvas[..., -3],
        median_depth=canvas[..., -2],
        distortion=canvas[..., -1],
        visible=visible,
        radius=radius,
    )


def _view(
    surfels: WorldSurfels, pose: int, colour: Tensor, camera: Cameras, background: Tensor, tile: int
) -> tuple[Tensor, _Projected]:
    """One view: (H, W, C + 7) canvas and the projection."""
    projected = _project(surfels, pose, colour, camera)
    columns = math.ceil(camera.width / tile)
    tiles, surfel = _intersections(projected.box, camera, tile)
    occupied, counts = torch.unique_consecutive(tiles, return_counts=True)
    channels = colour.shape[-1]
    values, pixels = [], []
    # split (not indexing) once a tile: its backward concatenates instead of adding full-size zeros
    groups = torch.split(projected.fields[surfel], counts.tolist()) if len(surfel) else ()
    grid = torch.arange(tile, device=colour.device)
    for corner, fields in zip(occupied.tolist(), groups, strict=True):
        rows = (corner // columns) * tile + grid
        cols = (corner % columns) * tile + grid
        rows, cols = rows[rows < camera.height], cols[cols < camera.width]
        index = (rows[:, None] * camera.width + cols).reshape(-1)
        for part in torch.split(index, max(1, PAIRS_AT_ONCE // len(fields))):
            pixels.append(part)
            values.append(
                checkpoint(_tile, part, fields, background, camera, use_reentrant=False)
                if torch.is_grad_enabled() and (fields.requires_grad or background.requires_grad)
                else _tile(part, fields, background, camera)
            )
    empty = torch.cat([background, background.new_zeros(7)])
    # An empty picture stays attached to the graph, with zero gradients.
    empty = empty + projected.fields[:0].sum()
    canvas = empty.expand(camera.height * camera.width, channels + 7)
    if values:
        canvas = canvas.index_put((torch.cat(pixels),), torch.cat(values))
    return canvas.view(camera.height, camera.width, channels + 7), projected


def _project(surfels: WorldSurfels, pose: int, colour: Tensor, camera: Cameras) -> _Projected:
    """Project, cull and sort the surfels of one view (docs/method.md, section 5)."""
    dtype = surfels.mean.dtype
    view = camera.camera_from_world[0].detach().to(dtype)
    intrinsics = camera.intrinsics[0].detach().to(dtype)
    rotation, translation = view[:3, :3], view[:3, 3]
    mean = surfels.mean[pose] @ rotation.mT + translation
    # Culled surfels leave before the division by their depth.
    front = ((mean[:, 2] > camera.near) & (255.0 * surfels.opacity >= 1.0)).nonzero().squeeze(1)
    mean = mean[front]
    tangents = rotation @ surfels.tangents[pose][front]
    normal = surfels.normal[pose][front] @ rotation.mT
    opacity = surfels.opacity[front]
    M = intrinsics @ torch.cat([tangents, mean[:, :, None]], dim=2)  # (S, 3, 3), equation M = K [a b m]
    centre = M[:, :2, 2] / mean[:, 2:]
    facing = torch.where((normal * mean).sum(1, keepdim=True) > 0, -1.0, 1.0).to(dtype)
    with torch.no_grad():
        box = _footprint(M, centre, opacity, camera)
        meets = (box[:, 2] > 0) & (box[:, 0] < camera.width) & (box[:, 3] > 0) & (box[:, 1] < camera.height)
        half = 0.5 * torch.maximum(box[:, 2] - box[:, 0], box[:, 3] - box[:, 1])
        visible = torch.zeros(len(surfels), dtype=torch.bool, device=mean.device)
        visible[front] = meets
        radius = torch.zeros(len(surfels), dtype=dtype, device=mean.device)
        radius[front] = torch.where(meets, half, 0.0)
        kept = meets.nonzero().squeeze(1)
        kept = kept[mean[kept, 2].argsort(stable=True)]  # nearest first, the lower index first at ties
    fields = torch.cat(
        [M.flatten(1), centre, mean[:, 2:], opacity[:, None], normal * facing, colour[front]], dim=1
    )
    return _Projected(fields[kept], box[kept], visible, radius)


def _footprint(M: Tensor, centre: Tensor, opacity: Tensor, camera: Cameras) -> Tensor:
    """(S, 4) the rectangle around {rho <= 2 ln(255 opacity)}: the ellipse of rho3 and the disc of rho2."""
    reach = 2.0 * torch.log(255.0 * opacity).clamp_min(0.0)
    # Pixels counted from the projected centre: M' = [[1,0,-x],[0,1,-y],[0,0,1]] M.
    x = M[:, 0] - centre[:, :1] * M[:, 2]
    y = M[:, 1] - centre[:, 1:] * M[:, 2]
    w = M[:, 2]
    quadric = torch.stack([reach, reach, -torch.ones_like(reach)], dim=1)  # the dual conic's diagonal
    ww = (quadric * w * w).sum(1)
    bounded = ww < 0
    ww = torch.where(bounded, ww, -1.0)
    disc = (0.5 * reach).sqrt()
    sides = []
    for row in (x, y):
        middle = (quadric * row * w).sum(1) / ww
        half = (middle * middle - (quadric * row * row).sum(1) / ww).clamp_min(0.0).sqrt()
        sides.append((torch.minimum(middle - half, -disc), torch.maximum(middle + half, disc)))
    (x0, x1), (y0, y1) = sides
    box = torch.stack([x0, y0, x1, y1], dim=1) + centre.repeat(1, 2)
    screen = box.new_tensor([0.0, 0.0, camera.width, camera.height])
    return torch.where(bounded[:, None], box, screen)


def _intersections(box: Tensor, camera: Cameras, tile: int) -> tuple[Tensor, Tensor]:
    """(I,) tile indices ascending, and for each the position of its surfel, nearest first within a tile."""
    columns, rows = math.ceil(camera.width / tile), math.ceil(camera.height / tile)
    # One pixel of slack: rounding never loses a pixel, and the pairs' own gates are exact.
    limit = box.new_tensor([columns, rows])
    low = ((box[:, :2] - 1.0) / tile).floor().clamp_min(0.0).minimum(limit).long()
    high = ((box[:, 2:] + 1.0) / tile).ceil().clamp_min(0.0).minimum(limit).long()
    size = high - low
    counts = size[:, 0] * size[:, 1]
    surfel = torch.repeat_interleave(torch.arange(len(box), device=box.device), counts)
    nth = torch.arange(len(surfel), device=box.device) - (counts.cumsum(0) - counts)[surfel]
    wide = size[surfel, 0]
    tiles = (low[surfel, 1] + nth // wide) * columns + low[surfel, 0] + nth % wide
    order = tiles.argsort(stable=True)
    return tiles[order], surfel[order]


def _tile(pixels: Tensor, fields: Tensor, background: Tensor, camera: Cameras) -> Tensor:
    """Composite all pairs of some pixels: (pixels, C + 7) colour, normal, alpha, depth, median, distortion.

    Args:
        pixels: flat indices into the picture.
        fields: (K, 16 + C) the tile's surfels, nearest first.
    """
    one = fields.new_ones(())
    px = (pixels % camera.width).to(fields.dtype)[:, None] + 0.5
    py = (pixels // camera.width).to(fields.dtype)[:, None] + 0.5
    mx, my, mw = fields[:, 0:3], fields[:, 3:6], fields[:, 6:9]
    centre, z, opacity = fields[:, 9:11], fields[:, 11], fields[:, 12]
    normal, colour = fields[:, 13:16], fields[:, 16:]
    # The ray's two planes k = x M_w - M_x and l = y M_w - M_y meet the surfel's plane at c = k x l.
    k0, k1, k2 = (px * mw[:, i] - mx[:, i] for i in range(3))
    l0, l1, l2 = (py * mw[:, i] - my[:, i] for i in range(3))
    c0, c1, c2 = k1 * l2 - k2 * l1, k2 * l0 - k0 * l2, k0 * l1 - k1 * l0
    rho2 = 2.0 * ((px - centre[:, 0]) ** 2 + (py - centre[:, 1]) ** 2)
    with torch.no_grad():
        # rho3 is infinite where c.z = 0; the comparison is also false where it overflows to NaN.
        on_plane = (c2 != 0) & ((c0 / c2) ** 2 + (c1 / c2) ** 2 <= rho2)
    c2 = torch.where(on_plane, c2, one)  # guarded before the division: no NaN in a gradient
    u, v = torch.where(on_plane, c0, 0.0) / c2, torch.where(on_plane, c1, 0.0) / c2
    rho = torch.where(on_plane, u * u + v * v, rho2)
    depth = u * mw[:, 0] + v * mw[:, 1] + z  # u = v = 0 leaves the mean's depth
    alpha = opacity * torch.exp(-0.5 * rho)
    alpha = torch.where(alpha >= ALPHA_MAX, ALPHA_MAX * one, alpha)
    alpha = torch.where((alpha >= ALPHA_MIN) & (depth >= camera.near), alpha, 0.0)
    # Stop before the transmittance would fall under its minimum; it never rises again.
    with torch.no_grad():
        going = (1.0 - alpha).cumprod(1) >= TRANSMITTANCE_MIN
    alpha = torch.where(going, alpha, 0.0)
    after = (1.0 - alpha).cumprod(1)
    before = torch.cat([torch.ones_like(after[:, :1]), after[:, :-1]], dim=1)
    omega = alpha * before
    total = omega.sum(1, keepdim=True)

    rgb = omega @ colour + after[:, -1:] * background
    expected = torch.where(
        total > 0, (omega * depth).sum(1, keepdim=True) / torch.where(total > 0, total, one), 0.0
    )
    with torch.no_grad():
        position = torch.arange(len(fields), device=fields.device)
        last = torch.where((alpha > 0) & (before > MEDIAN_TRANSMITTANCE), position, -1).amax(1, keepdim=True)
    median = torch.where(last >= 0, depth.gather(1, last.clamp_min(0)), 0.0)

    # Depths of skipped pairs may be anything: keep them out of the division.
    safe = torch.where(alpha > 0, depth, one)
    m = DISTORTION_FAR / (DISTORTION_FAR - DISTORTION_NEAR) * (1.0 - DISTORTION_NEAR / safe)
    # The distortion depends on differences of m only; a shift keeps float32's digits.
    m = torch.where(alpha > 0, m - m[:, :1].detach(), 0.0)
    d1, d2 = omega * m, omega * m * m
    a_before, d1_before, d2_before = (t.cumsum(1) - t for t in (omega, d1, d2))
    distortion = (omega * (m * m * a_before + d2_before - 2.0 * m * d1_before)).sum(1, keepdim=True)
    return torch.cat([rgb, omega @ normal, total, expected, median, distortion], dim=1)

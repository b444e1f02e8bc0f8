"""Depth pictures, and what they say of points in space: distances to the surface seen, and its colours.

A picture is cut into patches, the squares between the centres of four pixels, over which depth is bilinear.
A patch that is too steep for the picture, as over a silhouette, says nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from surfhead.core.errors import ShapeError
from surfhead.core.types import Cameras, check_shape

STEEPEST = 0.15  # cosine of surface and ray below which a picture says nothing: 81 degrees
POINTS = 1 << 14  # coloured at once on a CPU


@dataclass(frozen=True)
class DepthPictures:
    """B depth pictures of one size.

    Attributes:
        cameras: the B cameras.
        depth: (B, H, W) camera z, metres.
        weight: (B, H, W) how much a pixel counts, at least 0, such as alpha times a mask; where it is 0 the
            pixel has no depth.
        rgb: (B, H, W, 3) colours, or None.
    """

    cameras: Cameras
    depth: Tensor
    weight: Tensor
    rgb: Tensor | None = None

    def __post_init__(self) -> None:
        shape = (len(self.cameras), self.cameras.height, self.cameras.width)
        check_shape("depth", self.depth, *shape)
        check_shape("weight", self.weight, *shape)
        if self.rgb is not None:
            check_shape("rgb", self.rgb, *shape, 3)
        if min(self.cameras.height, self.cameras.width) < 2:
            raise ShapeError(
                f"The depth pictures are {self.cameras.height} by {self.cameras.width} pixels.",
                "Expected at least 2 by 2.",
                "Draw larger ones.",
            )

    def __len__(self) -> int:
        return len(self.cameras)


@dataclass(frozen=True)
class DepthPatches:
    """One picture cut into the squares between the centres of four pixels, ready to be looked up.

    Attributes:
        table: (patches + 1,) each: depth at the first corner and its slopes along columns, rows and both;
            metres along the normal for each metre of depth; weight. The last patch is for what is outside.
        projection: (3, 4) pixel coordinates times z from world points, counted from the first pixel's centre.
        rows, columns: number of patches.
        farthest: (rows, columns) largest depth of the corners; 0 where a patch says nothing.
        intrinsics: (3, 3) pixels, counted from the first pixel's centre.
        camera_from_world: (4, 4).
        rgb: (rows + 1, columns + 1, 3) the picture's colours, or None.
    """

    table: tuple[Tensor, ...]
    projection: Tensor
    rows: int
    columns: int
    near: float
    farthest: Tensor
    intrinsics: Tensor
    camera_from_world: Tensor
    rgb: Tensor | None = None

    def look_up(self, q: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Distance d of points to the surface seen (metres, positive in front), and where they project.

        Args:
            q: pixel coordinates times z, and z, of points, each of any shape.

        Returns:
            Distance, weight, row of the table, and the fractions across the patch along columns and rows.
        """
        inverse = q[2].reciprocal()
        x, y = q[0] * inverse, q[1] * inverse
        inside = (x >= 0) & (x < self.columns) & (y >= 0) & (y < self.rows) & (q[2] > self.near)
        column, row = x.long(), y.long()  # rounded down where inside; torch.floor would start threads
        index = torch.where(inside, row * self.columns + column, self.rows * self.columns)
        a, b, c, d, slope, weight = (column_of[index] for column_of in self.table)
        x, y = torch.where(inside, x - column, 0.0), torch.where(inside, y - row, 0.0)
        surface = a + x * b + y * (c + x * d)
        return (surface - q[2]) * slope, weight, index, x, y


def prepare(pictures: list[DepthPictures], device: torch.device | str) -> list[DepthPatches]:
    """Cut pictures into patches, one for each view, on ``device``."""
    places = [(group, view) for group in pictures for view in range(len(group))]
    chosen = torch.device(device)
    with side_by_side(chosen) as run:
        return run(lambda place: _patches(place[0], place[1], chosen), places)


def _patches(pictures: DepthPictures, view: int, device: torch.device) -> DepthPatches:
    depth = pictures.depth[view].to(device, torch.float32)
    weight = pictures.weight[view].to(device, torch.float32)
    intrinsics = pictures.cameras.intrinsics[view].to(device, torch.float32)
    corners = [_corners(depth), _corners(weight)]
    a, right, below, across = corners[0]
    b, c, d = right - a, below - a, across - right - below + a
    known = torch.stack([(w > 0) & z.isfinite() & (z > 0) for z, w in zip(*corners, strict=True)]).all(dim=0)
    # the patch's middle, its two tangents, and the surface's normal from these
    rows, columns = a.shape
    ray_x = (torch.arange(columns, device=device) + 1.0 - intrinsics[0, 2]) / intrinsics[0, 0]
    ray_y = ((torch.arange(rows, device=device) + 1.0 - intrinsics[1, 2]) / intrinsics[1, 1])[:, None]
    middle, by_x, by_y = a + (b + c) / 2 + d / 4, b + d / 2, c + d / 2
    ones = torch.ones_like(a)
    ray = torch.stack([ray_x * ones, ray_y * ones, ones], dim=-1)
    along_x, along_y = ray * by_x[..., None], ray * by_y[..., None]
    along_x[..., 0] += middle / intrinsics[0, 0]
    along_y[..., 1] += middle / intrinsics[1, 1]
    normal = torch.nn.functional.normalize(torch.linalg.cross(along_x, along_y), dim=-1, eps=1e-20)
    slope = (normal * ray).sum(dim=-1).abs()  # |ray| cos
    cosine = slope / ray.norm(dim=-1)
    known = known & (cosine > STEEPEST)
    mean = torch.stack(corners[1]).mean(dim=0)
    table = tuple(
        torch.nn.functional.pad(torch.where(known, values, 0.0).flatten(), (0, 1))
        for values in (a, b, c, d, slope, mean * cosine)
    )
    shifted = intrinsics.clone()
    shifted[:2, 2] -= 0.5
    pose = pictures.cameras.camera_from_world[view].to(device, torch.float32)
    farthest = torch.stack(corners[0]).amax(dim=0)
    return DepthPatches(
        table,
        shifted @ pose[:3],
        rows,
        columns,
        pictures.cameras.near,
        torch.where(known, farthest, 0.0),
        shifted,
        pose,
        None if pictures.rgb is None else pictures.rgb[view].to(device, torch.float32),
    )


def _corners(picture: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The values (H - 1, W - 1, ...) at each patch's four corners: first, next column, next row, both."""
    return picture[:-1, :-1], picture[:-1, 1:], picture[1:, :-1], picture[1:, 1:]


def picture_colours(patches: list[DepthPatches], points: Tensor, reach: float) -> tuple[Tensor, Tensor]:
    """The colours of surface points, weighted means over the pictures that see them.

    A picture counts, with its weight times the squared cosine of ray and surface, where what it shows is
    within ``reach`` of the point; its colour is bilinear between pixels.

    Args:
        patches: the pictures.
        points: (M, 3) metres, where the patches are.
        reach: metres along the surface's normal.

    Returns:
        (M, 3) colours and (M,) bool, whether any picture counts; 0 elsewhere.
    """
    size = POINTS if points.device.type == "cpu" else max(len(points), 1)
    parts = [points[start : start + size] for start in range(0, max(len(points), 1), size)]
    with side_by_side(points.device) as run:
        found = run(lambda part: _colours(patches, part, reach), parts)
    total, weights = (torch.cat(sums) for sums in zip(*found, strict=True))
    return total / weights.clamp_min(1e-20)[:, None], weights > 0


def _colours(patches: list[DepthPatches], points: Tensor, reach: float) -> tuple[Tensor, Tensor]:
    """(M, 3) weighted sums of colours and (M,) weights."""
    total, weights = torch.zeros_like(points), points.new_zeros(len(points))
    for picture in patches:
        if picture.rgb is None:
            continue
        q = points @ picture.projection[:, :3].mT + picture.projection[:, 3]
        distance, weight, index, x, y = picture.look_up((q[:, 0], q[:, 1], q[:, 2]))
        seen = ((distance.abs() < reach) & (weight > 0)).nonzero()[:, 0]
        row = index[seen] // picture.columns
        column = index[seen] - row * picture.columns
        rgb = picture.rgb
        x, y = x[seen, None], y[seen, None]
        upper = rgb[row, column] * (1 - x) + rgb[row, column + 1] * x
        lower = rgb[row + 1, column] * (1 - x) + rgb[row + 1, column + 1] * x
        # the weight looked up has one cosine already
        w = weight[seen] * picture.table[4][index[seen]]
        total.index_add_(0, seen, w[:, None] * (upper * (1 - y) + lower * y))
        weights.index_add_(0, seen, w)
    return total, weights


@contextlib.contextmanager
def side_by_side(device: torch.device) -> Iterator[Callable[..., list[Any]]]:
    """Gives a ``map`` over independent parts of some work, as many at once as torch has threads.

    Each part runs on one thread from its first step to its last: on a busy machine, threads that meet after
    every step, as torch's own do, mostly wait for one another. On a GPU the parts run one after the other.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1:
        yield lambda function, parts: [function(part) for part in parts]
        return
    torch.set_num_threads(1)  # new threads take this over
    try:
        with ThreadPoolExecutor(threads) as pool:
            yield lambda function, parts: list(pool.map(function, parts))
    finally:
        torch.set_num_threads(threads)

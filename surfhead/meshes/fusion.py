"""Depth pictures of pinhole cameras fused into a truncated signed distance field.

Each picture says how far every point of space is in front of the surface or behind it; the field is the
weighted mean of what all of them say, cut off at the truncation distance t (Curless and Levoy, "A volumetric
method for building complex models from range images", SIGGRAPH 1996):

    d(x)  =  (z_surface(u, v) - z) * |ray| * cos         metres, along the surface's normal; positive in front
    D(x)  =  sum w min(d / t, 1) / sum w                 over the pictures in which d > -t
    w     =  weight * cos * min(1, 1 + d / t)            cos: between the ray and the surface's normal

The last factor fades a picture's say behind the surface it saw, so that thin parts seen from both sides
keep their thickness. Depth is bilinear between the centres of four pixels; where these four make a surface
too steep for the picture, as they do over a silhouette, the picture says nothing.

Space is cut into blocks of 8 x 8 x 8 voxels, and only those that some picture's surface comes near to are
kept (as in Nießner et al., "Real-time 3D reconstruction at scale using voxel hashing", 2013, but with a
plain table of the box's blocks), so that the cost follows the surface's area, not the volume.
"""

from __future__ import annotations

import itertools
import os

import torch
from torch import Tensor

from surfhead.core.errors import OptionError
from surfhead.meshes.depth_pictures import DepthPatches, side_by_side
from surfhead.terminal.bars import Advance, progress

BLOCK = 8  # voxels along each side of a block
BYTES = 12  # of a voxel at most, when its values are spread over the box
TRUNCATION = 4.0  # voxels
NEAR = 2.0  # voxels round a surface in which blocks are kept; at most half a block
CHUNK = 1 << 17  # voxels worked on at once by each thread
GPU_CHUNK = 1 << 22  # the same on a GPU, where launching work is what costs
MOST_BLOCKS = 1 << 27  # of a box; their table alone is half a gigabyte


class TsdfVolume:
    """A truncated signed distance field in a box.

    Args:
        low, high: (3,) corners of the box, metres.
        voxel: side of a voxel, metres.
        truncation: t, metres; by default ``TRUNCATION`` voxels.
        device: where it is computed.
        chunk: voxels worked on at once, which bounds the memory beyond the kept blocks'.

    Raises:
        OptionError: an empty box, or more voxels than can be kept.
    """

    def __init__(
        self,
        low: Tensor,
        high: Tensor,
        voxel: float,
        *,
        truncation: float | None = None,
        device: torch.device | str = "cpu",
        chunk: int | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.low = low.detach().to(self.device, torch.float32)
        high = high.detach().to(self.device, torch.float32)
        if not 0.0 < voxel < float("inf"):
            raise OptionError(f'"voxel" is {voxel}.', "Expected metres > 0.", "Mend --voxel-mm.")
        if not bool(((high > self.low) & high.isfinite() & self.low.isfinite()).all()):
            raise OptionError(
                f'"box" goes from {_numbers(self.low)} to {_numbers(high)}.',
                "Expected a box whose second corner is larger in x, y and z, metres.",
                "Mend --box.",
            )
        self.voxel = voxel
        self.truncation = TRUNCATION * voxel if truncation is None else truncation
        sides = ((high - self.low) / (voxel * BLOCK)).ceil().clamp(min=1, max=2**40).long().tolist()
        self.grid: tuple[int, int, int] = (sides[0], sides[1], sides[2])
        count = sides[0] * sides[1] * sides[2]
        most = min(MOST_BLOCKS, room() // (BLOCK**3 * BYTES))
        if count > most:
            fits = 1000 * voxel * (count / most) ** (1 / 3) * 1.05
            raise OptionError(
                f'"voxel" is {1000 * voxel:g} mm: the box has {count * BLOCK**3:.3g} voxels, '
                f"{count * BLOCK**3 * BYTES / 1e9:.3g} GB.",
                f"At most {most * BLOCK**3:.3g} are possible.",
                f"Choose larger voxels, such as --voxel-mm {fits:.2g}, or a smaller --box.",
            )
        self.chunk = chunk or (CHUNK if self.device.type == "cpu" else GPU_CHUNK)
        self.blocks = torch.zeros(0, dtype=torch.int64, device=self.device)  # kept ones, ascending
        self.total = torch.zeros(0, BLOCK**3, device=self.device)
        self.weight = torch.zeros(0, BLOCK**3, device=self.device)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along x, y and z."""
        return self.grid[0] * BLOCK, self.grid[1] * BLOCK, self.grid[2] * BLOCK

    def fuse(self, patches: list[DepthPatches]) -> None:
        """Compute the field of all pictures, in place of what was there.

        All are given at once, for a block that one picture's surface passes through is carved by the others.

        Args:
            patches: the pictures, prepared on this volume's device.
        """
        centres = self._centres()
        met = torch.zeros(len(centres), dtype=torch.bool, device=self.device)
        with side_by_side(self.device) as run:
            run(lambda picture: self._meet(picture, met), patches)
            self.blocks = met.nonzero()[:, 0]
            shape = (len(self.blocks), BLOCK**3)
            self.total = torch.zeros(shape, device=self.device)
            self.weight = torch.zeros(shape, device=self.device)
            kept = centres[self.blocks]
            reach = 0.5 * BLOCK * self.voxel * 3**0.5  # from a block's middle to its corners
            before = run(lambda picture: _before(picture, kept, reach, self.truncation), patches)
            step = torch.arange(BLOCK, device=self.device) - (BLOCK - 1) / 2
            places = self.voxel * torch.stack(torch.meshgrid(step, step, step, indexing="ij"), dim=-1)
            places = places.reshape(-1, 3)
            size = max(1, self.chunk // BLOCK**3)

            def fill(start: int, advance: Advance) -> None:
                part = slice(start, start + size)
                for picture, ahead in zip(patches, before, strict=True):
                    rows = start + ahead[part].nonzero()[:, 0]
                    if len(rows):
                        self._add(picture, rows, kept[rows], places)
                advance(next(done))

            starts, done = list(range(0, len(kept), size)), itertools.count(1)
            with progress("Fusing depth", len(starts)) as advance:
                run(lambda start: fill(start, advance), starts)

    def _add(self, patches: DepthPatches, rows: Tensor, centres: Tensor, places: Tensor) -> None:
        """Add a picture's say on some kept blocks: (M,) rows, (M, 3) middles, (512, 3) voxels from there."""
        turn = patches.projection[:, :3]
        first = centres @ turn.mT + patches.projection[:, 3]
        second = places @ turn.mT
        q = [first[:, k : k + 1] + second[:, k] for k in range(3)]
        distance, weight, *_ = patches.look_up((q[0], q[1], q[2]))
        ratio = distance.mul_(1.0 / self.truncation).clamp_(max=1.0)
        weight = weight * (1.0 + ratio).clamp_(min=0.0, max=1.0)
        self.total.index_add_(0, rows, weight * ratio)
        self.weight.index_add_(0, rows, weight)

    def _meet(self, patches: DepthPatches, met: Tensor) -> None:
        """Mark in ``met`` (G,) the blocks within ``NEAR`` voxels of the surface that a picture shows."""
        index = (patches.farthest.flatten() > 0).nonzero()[:, 0]
        if not len(index):
            return
        a, b, c, d = (values[index] for values in patches.table[:4])
        row, column = index // patches.columns, index % patches.columns
        focal = patches.intrinsics[[0, 1], [0, 1]]
        # several points a patch, where a patch is wide as seen from the front
        parts = int(float(patches.farthest.max() / focal.min()) / (0.5 * BLOCK * self.voxel)) + 1
        sides = torch.tensor(self.grid, device=self.device)
        inverse = torch.linalg.inv(patches.camera_from_world)
        cube = torch.tensor([-1.0, 1.0], device=self.device) * NEAR * self.voxel
        corners = torch.stack(torch.meshgrid(cube, cube, cube, indexing="ij"), dim=-1).reshape(-1, 3)
        for part in range(parts * parts):
            x, y = (part % parts + 0.5) / parts, (part // parts + 0.5) / parts
            z = a + x * b + y * (c + x * d)
            pixel = torch.stack([column + x, row + y], dim=-1) - patches.intrinsics[:2, 2]
            points = torch.cat([pixel / focal, torch.ones_like(pixel[:, :1])], dim=-1) * z[:, None]
            points = points @ inverse[:3, :3].mT + inverse[:3, 3]
            for corner in corners:
                place = ((points + corner - self.low) / (BLOCK * self.voxel)).floor()
                inside = ((place >= 0) & (place < sides)).all(dim=-1)
                x_place, y_place, z_place = place[inside].long().unbind(-1)
                met[(x_place * sides[1] + y_place) * sides[2] + z_place] = True

    def _centres(self) -> Tensor:
        """(G, 3) middles of all blocks of the box, metres."""
        axes = [torch.arange(side, device=self.device) + 0.5 for side in self.grid]
        places = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)
        return self.low + BLOCK * self.voxel * places

    def dense(self, least_weight: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
        """The field of the part of the box that has kept blocks, on the CPU.

        Args:
            least_weight: a voxel with a total weight of at most this is unknown.

        Returns:
            (X, Y, Z) distances in units of the truncation, 1 where unknown; (X, Y, Z) bool, known; and (3,)
            the world position of the first voxel's middle.
        """
        if not len(self.blocks):
            nothing = torch.ones(2, 2, 2)
            return nothing, torch.zeros(2, 2, 2, dtype=torch.bool), self.low.cpu()
        known = self.weight > least_weight
        value = torch.where(known, self.total / self.weight.clamp_min(1e-20), 1.0)
        _, ny, nz = self.grid
        place = torch.stack([self.blocks // (ny * nz), self.blocks // nz % ny, self.blocks % nz], dim=-1)
        start = place.amin(dim=0)
        sides = (place.amax(dim=0) - start + 1).tolist()
        x, y, z = (place - start).cpu().unbind(-1)

        def spread(values: Tensor, fill: float | bool) -> Tensor:
            field = torch.full((*sides, BLOCK, BLOCK, BLOCK), fill, dtype=values.dtype)
            field[x, y, z] = values.reshape(-1, BLOCK, BLOCK, BLOCK).cpu()
            return field.permute(0, 3, 1, 4, 2, 5).reshape([side * BLOCK for side in sides])

        first = self.low + self.voxel * (start * BLOCK + 0.5)
        return spread(value, 1.0), spread(known, False), first.cpu()


def room() -> int:
    """Bytes that a volume may take: half of what this machine has free, 4 GB where that is unknown."""
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 4 << 30
    return max(free // 2, 1 << 30)


def _before(patches: DepthPatches, centres: Tensor, radius: float, truncation: float) -> Tensor:
    """Which balls are not wholly behind what a picture saw, nor outside it.

    Args:
        centres: (K, 3) metres.
        radius: of the balls, metres.
        truncation: metres behind a surface that still count.

    Returns:
        (K,) bool.
    """
    q = centres @ patches.projection[:, :3].mT + patches.projection[:, 3]
    least = max(patches.near, 1e-6)
    ahead = q[:, 2] > least
    if not bool(ahead.any()) or not patches.farthest.numel():
        return torch.zeros_like(ahead)
    z = q[:, 2].clamp_min(least)
    x, y = q[:, 0] / z, q[:, 1] / z
    # a ball's half size in pixels; the projection's rows are focal lengths times rotations, and a shift
    focal = float(patches.projection[:2, :3].norm(dim=1).max())
    closest = float(z[ahead].min())
    window = int(min(focal * radius / max(closest - radius, radius), max(patches.rows, patches.columns))) + 1
    inside = (
        ahead & (x > -window) & (x < patches.columns + window) & (y > -window) & (y < patches.rows + window)
    )
    column = x.clamp(0, patches.columns - 1).long()
    row = y.clamp(0, patches.rows - 1).long()
    farthest = _widest(patches.farthest, window)[row, column]
    return inside & (z - radius - truncation <= farthest) & (farthest > 0)


def _widest(values: Tensor, window: int) -> Tensor:
    """(H, W) the largest value within ``window`` pixels to each side."""
    pool = torch.nn.functional.max_pool2d
    along = pool(values[None], (1, 2 * window + 1), 1, (0, window))
    return pool(along, (2 * window + 1, 1), 1, (window, 0))[0]


def _numbers(point: Tensor) -> str:
    return "(" + ", ".join(f"{value:g}" for value in point.tolist()) + ")"

"""The surfel rasterizer's CUDA kernels as PyTorch operators (docs/method.md, section 5).

``surfhead::rasterize_cuda`` and ``surfhead::rasterize_cuda_backward``: float32, three colour channels, B
views of P poses in one set of launches on PyTorch's current stream, no host synchronisation, capturable in
a CUDA graph once a call outside one has compiled and loaded the kernels.

Room for tile entries. A call's number of (surfel, tile) entries is known only on the GPU, so its buffers
are sized beforehand (``cuda_room``). What is guaranteed:

- The outputs and gradients are always complete. Tiles whose entries did not fit are redone within the same
  call from lists of their own, without the host (cuda_kernels/cuda/spilling.h), also while a captured graph
  is replayed. That is slow, never wrong.
- Each call writes the number it needed to host memory. The next call of the same size that finds it takes a
  quarter more room than that, so that a spill lasts a call or two. A captured graph cannot grow:
  ``check_overflow`` tells when one should be captured anew.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from surfhead.core.errors import ShapeError, UnavailableError
from surfhead.kernels import cuda_driver, cuda_room
from surfhead.kernels.cuda_operators import differentiate, register
from surfhead.kernels.doors import measure

TILE = 16
PATCHES = 8  # of a tile
BLOCK_WARPS = 2  # kBlockWarps of cuda_kernels/cuda/launch.h
RECORD_BYTES = 128
ENTRY_BYTES = 28  # in `entries`, `places` and `keys`
PROJECT_THREADS = 256  # kProjectThreads of cuda_kernels/cuda/projection.cu
PROJECT_BLOCKS = 528  # wanted at least: four a multiprocessor of a large GPU, as many as run there at once
RETURN_THREADS = 128  # kReturnThreads of cuda_kernels/cuda/backward.cu
SCAN_THREADS = 1024  # kScanThreads of cuda_kernels/cuda/tile_lists.cu
SCATTER_BLOCKS = 2048  # enough to fill any GPU; each takes many entries
GRADIENTS = 20
MAX_SURFELS = 1 << 24
MAX_SPILL_BLOCKS = 128

_POINTERS = (
    "mean", "tangents", "normal", "opacity", "colour", "camera_from_world", "intrinsics", "background",
    "pose_of_view", "records", "depth_bounds", "offsets", "order", "entries", "pixel_sums",
    "pixel_places", "reserved", "found_bounds", "counts", "places", "keys", "needed", "rgb", "alpha",
    "normal_map", "depth", "median_depth", "distortion", "radius", "visible", "g_rgb", "g_alpha",
    "g_normal_map", "g_depth", "g_median_depth", "g_distortion", "surfel_gradients", "g_mean", "g_tangents",
    "g_normal", "g_opacity", "g_colour",
)  # fmt: skip

RULES = {
    "mean": "poses surfels 3", "tangents": "poses surfels 3 2", "normal": "poses surfels 3",
    "opacity": "surfels", "colour": "views surfels 3", "camera_from_world": "views 4 4",
    "intrinsics": "views 3 3", "pose_of_view": "int64: views", "background": "views 3",
    "visible": "bool: views surfels", "depth": "views height width", "state": "uint8: bytes",
    "g_rgb": "views height width 3", "g_alpha": "views height width", "g_normal_map": "views height width 3",
    "g_depth": "views height width", "g_median_depth": "views height width",
    "g_distortion": "views height width",
}  # fmt: skip


class Launch(ctypes.Structure):
    """The kernels' one argument: struct Launch of cuda_kernels/cuda/launch.h, field by field."""

    _fields_ = [
        *((name, ctypes.c_int) for name in ("views", "poses", "surfels", "height", "width")),
        *((name, ctypes.c_int) for name in ("tiles_x", "tiles_y", "capacity", "spill_blocks")),
        ("near", ctypes.c_float),
        *((name, ctypes.c_void_p) for name in _POINTERS),
    ]


@dataclass(frozen=True)
class Layout:
    """Where the parts of the tensor that forward leaves for backward begin, in bytes."""

    records: int
    depth_bounds: int
    offsets: int
    order: int
    entries: int
    pixel_sums: int
    pixel_places: int
    total: int


def state_layout(views: int, surfels: int, height: int, width: int, capacity: int) -> Layout:
    """The layout for these sizes; every part is aligned to 256 bytes."""
    tiles = views * -(-height // TILE) * -(-width // TILE)
    pixels = views * height * width
    sizes = (
        RECORD_BYTES * views * surfels,
        8 * views,
        4 * (tiles + 1),
        4 * tiles,
        4 * capacity,
        16 * pixels,
        8 * pixels,
    )
    ends = accumulate((size + 255) // 256 * 256 for size in sizes)
    return Layout(0, *ends)


_FORWARD = (
    "(Tensor mean, Tensor tangents, Tensor normal, Tensor opacity, Tensor colour, "
    "Tensor camera_from_world, Tensor intrinsics, Tensor pose_of_view, Tensor background, "
    "int height, int width, float near, int capacity)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)"
)
_BACKWARD = (
    "(Tensor? g_rgb, Tensor? g_alpha, Tensor? g_normal, Tensor? g_depth, Tensor? g_median_depth, "
    "Tensor? g_distortion, Tensor mean, Tensor tangents, Tensor normal, Tensor opacity, Tensor colour, "
    "Tensor camera_from_world, Tensor intrinsics, Tensor pose_of_view, Tensor background, "
    "Tensor visible, Tensor depth, Tensor state, int height, int width, float near, int capacity)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor)"
)


def _sizes(mean: Tensor, colour: Tensor, height: int, width: int, near: float, capacity: int) -> Launch:
    launch = Launch()
    launch.views, launch.poses, launch.surfels = colour.shape[0], mean.shape[0], mean.shape[1]
    launch.height, launch.width = height, width
    launch.tiles_x, launch.tiles_y = -(-width // TILE), -(-height // TILE)
    launch.capacity = capacity
    launch.spill_blocks = min(max(capacity // max(launch.surfels, 1), 1), MAX_SPILL_BLOCKS)
    launch.near = near
    return launch


def _point(launch: Launch, tensors: dict[str, Tensor], state: Tensor, layout: Layout) -> None:
    for name, tensor in tensors.items():
        setattr(launch, name, tensor.data_ptr())
    base = state.data_ptr()
    launch.records, launch.depth_bounds = base + layout.records, base + layout.depth_bounds
    launch.offsets, launch.order = base + layout.offsets, base + layout.order
    launch.entries = base + layout.entries
    launch.pixel_sums, launch.pixel_places = base + layout.pixel_sums, base + layout.pixel_places


def _point_counts(launch: Launch) -> None:
    """The parts of the one zeroed tensor whose address is ``reserved``: 2 + 2 views + tiles words."""
    launch.found_bounds = launch.reserved + 8
    launch.counts = launch.found_bounds + 8 * launch.views


def projecting_blocks(surfels: int, views: int) -> int:
    """Blocks that project the surfels of each view.

    A block takes as many surfels as it has threads, or fewer, in warps, so that small scenes occupy the GPU
    too: its other threads then work on the tiles that the surfels cover.
    """
    each = -(-surfels * views // PROJECT_BLOCKS)
    each = min(max((each + 31) // 32 * 32, 32), PROJECT_THREADS)
    return -(-surfels // each)


def _out_of_memory(capacity: int, views: int, surfels: int) -> UnavailableError:
    return UnavailableError(
        f"The GPU's memory does not hold a rasterization of {views} views of {surfels} surfels "
        f"with room for {capacity} intersections of surfels and tiles.",
        f"The intersections alone take {ENTRY_BYTES * capacity / 2**20:.0f} MiB.",
        "Use a smaller batch (--set batch_size=N), a smaller picture or fewer surfels.",
    )


def _forward(
    mean: Tensor, tangents: Tensor, normal: Tensor, opacity: Tensor, colour: Tensor,
    camera_from_world: Tensor, intrinsics: Tensor, pose_of_view: Tensor, background: Tensor,
    height: int, width: int, near: float, capacity: int,
) -> tuple[Tensor, ...]:  # fmt: skip
    device = mean.device
    if torch.cuda.current_device() != device.index:
        with torch.cuda.device(device):
            return _forward(
                mean, tangents, normal, opacity, colour, camera_from_world, intrinsics, pose_of_view,
                background, height, width, near, capacity,
            )  # fmt: skip
    inputs = {
        "mean": mean, "tangents": tangents, "normal": normal, "opacity": opacity, "colour": colour,
        "camera_from_world": camera_from_world, "intrinsics": intrinsics, "pose_of_view": pose_of_view,
        "background": background,
    }  # fmt: skip
    measure("rasterize", RULES, inputs)
    views, surfels = colour.shape[0], mean.shape[1]
    launch = _sizes(mean, colour, height, width, near, capacity)
    tiles = views * launch.tiles_x * launch.tiles_y
    layout = state_layout(views, surfels, height, width, capacity)
    inputs = {name: tensor.contiguous() for name, tensor in inputs.items()}
    shape = (views, height, width)
    try:
        out = {
            "rgb": mean.new_empty((*shape, 3)),
            "alpha": mean.new_empty(shape),
            "normal_map": mean.new_empty((*shape, 3)),
            "depth": mean.new_empty(shape),
            "median_depth": mean.new_empty(shape),
            "distortion": mean.new_empty(shape),
            "visible": torch.empty((views, surfels), dtype=torch.bool, device=device),
            "radius": mean.new_empty((views, surfels)),
        }
        state = torch.empty(layout.total, dtype=torch.uint8, device=device)
        scratch = {
            "reserved": torch.zeros(2 + 2 * views + tiles, dtype=torch.int32, device=device),
            "places": torch.empty((capacity, 4), dtype=torch.int32, device=device),
            "keys": torch.empty(max(capacity, surfels), dtype=torch.int64, device=device),
        }
    except torch.cuda.OutOfMemoryError as error:
        raise _out_of_memory(capacity, views, surfels) from error
    _point(launch, inputs | out | scratch, state, layout)
    _point_counts(launch)
    launch.needed = cuda_room.report_address((device.index, views, height, width), capacity)

    kernels = cuda_driver.kernels(device.index)
    kernels.enter()
    stream = torch.cuda.current_stream().cuda_stream
    pointers = cuda_driver.argument_pointers(launch)
    arguments = ctypes.addressof(pointers)
    projecting = (projecting_blocks(surfels, views), views)
    scan = (min(-(-tiles // SCAN_THREADS), 128), 1)
    # a block orders the tiles of each view, the others scatter
    scatter = (views + min(-(-capacity // 256), SCATTER_BLOCKS), min(tiles, 1))
    patches = (tiles * PATCHES // BLOCK_WARPS, 1)
    kernels.launch("projection", "project_surfels", projecting, PROJECT_THREADS, stream, arguments)
    kernels.launch("tile_lists", "scan_tiles", scan, SCAN_THREADS, stream, arguments)
    kernels.launch("tile_lists", "scatter_entries", scatter, 256, stream, arguments)
    kernels.launch("tile_lists", "sort_tiles", (tiles, 1), 128, stream, arguments)
    kernels.launch("forward", "composite_tiles", patches, 32 * BLOCK_WARPS, stream, arguments)
    spill = (min(tiles, launch.spill_blocks), 1)
    kernels.launch("forward", "composite_spilled_tiles", spill, 256, stream, arguments)
    return (*out.values(), state)


def _backward(
    g_rgb: Tensor | None, g_alpha: Tensor | None, g_normal: Tensor | None, g_depth: Tensor | None,
    g_median_depth: Tensor | None, g_distortion: Tensor | None,
    mean: Tensor, tangents: Tensor, normal: Tensor, opacity: Tensor, colour: Tensor,
    camera_from_world: Tensor, intrinsics: Tensor, pose_of_view: Tensor, background: Tensor,
    visible: Tensor, depth: Tensor, state: Tensor, height: int, width: int, near: float, capacity: int,
) -> tuple[Tensor, ...]:  # fmt: skip
    device = mean.device
    if torch.cuda.current_device() != device.index:
        with torch.cuda.device(device):
            return _backward(
                g_rgb, g_alpha, g_normal, g_depth, g_median_depth, g_distortion, mean, tangents, normal,
                opacity, colour, camera_from_world, intrinsics, pose_of_view, background, visible, depth,
                state, height, width, near, capacity,
            )  # fmt: skip
    inputs = {
        "mean": mean, "tangents": tangents, "normal": normal, "opacity": opacity, "colour": colour,
        "camera_from_world": camera_from_world, "intrinsics": intrinsics, "pose_of_view": pose_of_view,
        "background": background, "visible": visible, "depth": depth,
    }  # fmt: skip
    upstream = {
        "g_rgb": g_rgb, "g_alpha": g_alpha, "g_normal_map": g_normal, "g_depth": g_depth,
        "g_median_depth": g_median_depth, "g_distortion": g_distortion,
    }  # fmt: skip
    given = {name: tensor for name, tensor in upstream.items() if tensor is not None}
    views, surfels, poses = colour.shape[0], mean.shape[1], mean.shape[0]
    layout = state_layout(views, surfels, height, width, capacity)
    known = {"height": height, "width": width, "bytes": layout.total}
    measure("rasterize_backward", RULES, inputs | given | {"state": state}, **known)
    launch = _sizes(mean, colour, height, width, near, capacity)
    tiles = views * launch.tiles_x * launch.tiles_y
    inputs = {name: tensor.contiguous() for name, tensor in (inputs | given).items()}
    try:
        out = {
            "g_mean": torch.empty_like(inputs["mean"]),
            "g_tangents": torch.empty_like(inputs["tangents"]),
            "g_normal": torch.empty_like(inputs["normal"]),
            "g_opacity": torch.zeros_like(inputs["opacity"]),
            "g_colour": torch.empty_like(inputs["colour"]),
        }
        scratch = {
            "surfel_gradients": mean.new_zeros((views, surfels, GRADIENTS)),
            "keys": torch.empty(max(capacity, surfels), dtype=torch.int64, device=device),
        }
    except torch.cuda.OutOfMemoryError as error:
        raise _out_of_memory(capacity, views, surfels) from error
    _point(launch, inputs | out | scratch, state, layout)

    kernels = cuda_driver.kernels(device.index)
    kernels.enter()
    stream = torch.cuda.current_stream().cuda_stream
    pointers = cuda_driver.argument_pointers(launch)
    arguments = ctypes.addressof(pointers)
    patches = (tiles * PATCHES // BLOCK_WARPS, 1)
    through_depth = bool(given.keys() & {"g_depth", "g_median_depth", "g_distortion"})
    name = {
        (False, False): "backward_colour", (True, False): "backward_normal",
        (False, True): "backward_depth", (True, True): "backward_all",
    }["g_normal_map" in given, through_depth]  # fmt: skip
    kernels.launch("backward", name, patches, 32 * BLOCK_WARPS, stream, arguments)
    spill = (min(tiles, launch.spill_blocks), 1)
    kernels.launch("backward", "backward_spilled_tiles", spill, 128, stream, arguments)
    returning = (-(-surfels // RETURN_THREADS), poses)
    kernels.launch("backward", "project_backward_surfels", returning, RETURN_THREADS, stream, arguments)
    return tuple(out.values())


def _fake_forward(
    mean: Tensor, tangents: Tensor, normal: Tensor, opacity: Tensor, colour: Tensor,
    camera_from_world: Tensor, intrinsics: Tensor, pose_of_view: Tensor, background: Tensor,
    height: int, width: int, near: float, capacity: int,
) -> tuple[Tensor, ...]:  # fmt: skip
    views, surfels = colour.shape[0], mean.shape[1]
    shape = (views, height, width)
    return (
        mean.new_empty((*shape, 3)),
        mean.new_empty(shape),
        mean.new_empty((*shape, 3)),
        mean.new_empty(shape),
        mean.new_empty(shape),
        mean.new_empty(shape),
        mean.new_empty((views, surfels), dtype=torch.bool),
        mean.new_empty((views, surfels)),
        mean.new_empty(state_layout(views, surfels, height, width, capacity).total, dtype=torch.uint8),
    )


def _fake_backward(*arguments: Any) -> tuple[Tensor, ...]:
    mean, tangents, normal, opacity, colour = arguments[6:11]
    return tuple(value.new_empty(value.shape) for value in (mean, tangents, normal, opacity, colour))


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, height, width, near, capacity = inputs
    visible, radius, state = output[6], output[7], output[8]
    ctx.save_for_backward(*tensors, visible, output[3], state)
    ctx.mark_non_differentiable(visible, radius, state)
    ctx.set_materialize_grads(False)
    ctx.sizes = (height, width, near, capacity)


def _autograd(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
    g = torch.ops.surfhead.rasterize_cuda_backward(*gradients[:6], *ctx.saved_tensors, *ctx.sizes)
    return (*g, None, None, None, None, None, None, None, None)


register("rasterize_cuda", _FORWARD, _forward, _fake_forward)
register("rasterize_cuda_backward", _BACKWARD, _backward, _fake_backward)
differentiate("rasterize_cuda", _autograd, _setup_context)


def rasterize(
    mean: Tensor, tangents: Tensor, normal: Tensor, opacity: Tensor, colour: Tensor,
    camera_from_world: Tensor, intrinsics: Tensor, pose_of_view: Tensor, background: Tensor,
    height: int, width: int, near: float,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Draw B views of N surfels in P poses on the GPU that holds them.

    Args:
        mean: (P, N, 3) centres, metres. tangents: (P, N, 3, 2). normal: (P, N, 3). opacity: (N,).
        colour: (B, N, 3). camera_from_world: (B, 4, 4). intrinsics: (B, 3, 3), pixels.
        pose_of_view: (B,) int64. background: (B, 3). height, width: pixels. near: metres, > 0.

    Returns:
        rgb, alpha, normal, depth, median_depth, distortion, visible, radius as in RenderOutput.

    Raises:
        ShapeError: tensors do not fit together or are not float32, or there are more surfels than 2^24.
        UnavailableError: the kernels cannot run here, or memory does not suffice.
    """
    given = {
        "mean": mean, "tangents": tangents, "normal": normal, "opacity": opacity, "colour": colour,
        "camera_from_world": camera_from_world, "intrinsics": intrinsics, "pose_of_view": pose_of_view,
        "background": background,
    }  # fmt: skip
    measure("rasterize", RULES, given)
    surfels = mean.shape[1]
    if surfels >= MAX_SURFELS or near <= 0.0:
        raise ShapeError(
            f"The CUDA kernels were given {surfels} surfels and a near plane of {near} m.",
            f"They take fewer than {MAX_SURFELS} surfels and a near plane beyond 0 m.",
            "Prune the avatar, or mend `near`.",
        )
    views = colour.shape[0]
    capacity = cuda_room.planned_capacity(mean.device.index or 0, views, surfels, height, width)
    out = torch.ops.surfhead.rasterize_cuda(
        mean, tangents, normal, opacity, colour, camera_from_world, intrinsics, pose_of_view, background,
        height, width, near, capacity,
    )  # fmt: skip
    return tuple(out[:8])

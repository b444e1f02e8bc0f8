"""Projection and tile lists of the rasterizer `cuda`, compiled for the CPU and run thread by thread."""

from __future__ import annotations

import ctypes
import itertools
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from surfhead.kernels import cuda_rasterizer
from surfhead.plugins.rasterizers.reference import Torch
from tests.gpu.scenes import Drawing, random_scene
from tests.kernels.emulation import emulated_kernels, emulated_source

KERNELS = {
    "projection": {"project_surfels": "Launch"},
    "tile_lists": {"scan_tiles": "Launch", "scatter_entries": "Launch", "sort_tiles": "Launch"},
}
TILE = cuda_rasterizer.TILE


@pytest.fixture(scope="module")
def libraries() -> Iterator[Mapping[str, ctypes.CDLL]]:
    """The kernels for the CPU."""
    with emulated_kernels(KERNELS) as found:
        yield found


@dataclass(frozen=True)
class Lists:
    """What the kernels leave: sizes, records (views, surfels, 32), each tile's keys, and the tiles' order."""

    launch: cuda_rasterizer.Launch
    records: Tensor
    visible: Tensor
    radius: Tensor
    needed: int
    tiles: list[list[int]]
    order: list[list[int]]  # of each view


def make_lists(
    libraries: Mapping[str, ctypes.CDLL], scene: Drawing, capacity: int, blocks: int = 3, sort: bool = True,
    projecting: int | None = None,
) -> Lists:  # fmt: skip
    """Run projection (so many blocks a view), scan, scatter and, if wanted, sort (else Python sorts)."""
    s, cameras = scene.surfels, scene.cameras
    height, width = cameras.height, cameras.width
    launch = cuda_rasterizer._sizes(s.mean, scene.colour, height, width, cameras.near, capacity)
    views, surfels = launch.views, launch.surfels
    tiles = views * launch.tiles_x * launch.tiles_y
    layout = cuda_rasterizer.state_layout(views, surfels, height, width, capacity)
    # words that no kernel may rely on are filled with ones
    state = torch.full((layout.total + 256,), 255, dtype=torch.uint8)
    begin = -state.data_ptr() % 256
    state = state[begin : begin + layout.total]
    tensors = {
        "mean": s.mean, "tangents": s.tangents, "normal": s.normal, "opacity": s.opacity,
        "colour": scene.colour, "camera_from_world": cameras.camera_from_world,
        "intrinsics": cameras.intrinsics, "pose_of_view": scene.pose_of_view,
        "visible": torch.empty(views, surfels, dtype=torch.bool), "radius": torch.empty(views, surfels),
        "reserved": torch.zeros(2 + 2 * views + tiles, dtype=torch.int32),
        "places": torch.full((capacity, 4), -1, dtype=torch.int32),
        "keys": torch.full((max(capacity, surfels),), -1, dtype=torch.int64),
        "needed": torch.zeros(1, dtype=torch.int64),
    }  # fmt: skip
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    cuda_rasterizer._point(launch, tensors, state, layout)
    cuda_rasterizer._point_counts(launch)
    scan = min(-(-tiles // 1024), 2)
    projecting = projecting or cuda_rasterizer.projecting_blocks(surfels, views)
    most = cuda_rasterizer.PROJECT_THREADS
    assert projecting * most >= surfels
    for module, name, grid, threads in (
        ("projection", "project_surfels", (projecting, views), most),
        ("tile_lists", "scan_tiles", (scan, 1), 1024),
        ("tile_lists", "scatter_entries", (views + blocks, 1), 256),
        *([("tile_lists", "sort_tiles", (tiles, 1), 128)] if sort else []),
    ):
        getattr(libraries[module], f"launch_{name}")(ctypes.byref(launch), *grid, 1, threads)
    offsets = state[layout.offsets : layout.offsets + 4 * (tiles + 1)].view(torch.int32).tolist()
    entries = state[layout.entries : layout.entries + 4 * capacity].view(torch.int32)
    lists = []
    for first, end in itertools.pairwise(offsets):
        keys = tensors["keys"][first:end].tolist() if end <= capacity else []
        by_entry = {key & 0xFFFFFFFF: key % 2**64 for key in keys}
        assert len(by_entry) == len(keys)
        ordered = [entry & 0xFFFFFFFF for entry in entries[first:end].tolist()] if keys else []
        lists.append([by_entry[entry] for entry in ordered] if sort else sorted(by_entry.values()))
    order = state[layout.order : layout.order + 4 * tiles].view(torch.int32).reshape(views, -1).tolist()
    size = 128 * views * surfels
    records = state[layout.records : layout.records + size].view(torch.float32)
    return Lists(
        launch, records.reshape(views, surfels, 32), tensors["visible"], tensors["radius"],
        int(tensors["needed"]), lists, order,
    )  # fmt: skip


def touched_pixels(found: Lists, view: int) -> Tensor:
    """(surfels, patch rows, 4, patch columns, 8) whether alpha reaches 1/255 at a pixel, in double."""
    r = found.records[view].double()
    height, width = found.launch.height, found.launch.width
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    dx = x + 0.5 - (r[:, 0] + r[:, 2])[:, None, None]
    dy = y + 0.5 - (r[:, 1] + r[:, 3])[:, None, None]
    part = {
        name: r[:, i][:, None, None] for i, name in enumerate(["ux", "uy", "vx", "vy", "w0", "wx", "wy"], 4)
    }
    w = part["w0"] + part["wx"] * dx + part["wy"] * dy
    u = (part["ux"] * dx + part["uy"] * dy) / w
    v = (part["vx"] * dx + part["vy"] * dy) / w
    rho = torch.minimum((u**2 + v**2).nan_to_num(torch.inf), 2.0 * (dx**2 + dy**2))
    alpha = r[:, 13][:, None, None] * torch.exp(-0.5 * rho)
    counts = (alpha >= 1.0 / 255.0) & found.visible[view][:, None, None]
    down, right = -height % TILE, -width % TILE
    padded = torch.nn.functional.pad(counts, (0, right, 0, down))
    return padded.reshape(len(r), padded.shape[1] // 4, 4, padded.shape[2] // 8, 8)


SCENES = {
    "ordinary": {"count": 300},
    "two blocks, large and edge-on": {"count": 270, "size": 0.4, "spread": 0.5},
    "around the cameras": {"count": 200, "size": 0.1, "spread": 1.5},
    "small": {"count": 520, "size": 0.01, "views": 2},
    "one tile": {"count": 40, "height": 9, "width": 14},
    # of 2200 tiles a block counts 2048 in shared memory, and these surfels have more entries than wait there
    "beyond a window": {"count": 12, "size": 0.2, "views": 1, "height": 800, "width": 700},
}


@pytest.mark.parametrize("name", SCENES)
def test_lists(libraries: Mapping[str, ctypes.CDLL], name: str) -> None:
    """Every patch that a surfel touches has it in its tile's list, once, in the order of depth."""
    scene = random_scene(**SCENES[name], device="cpu")  # type: ignore[arg-type]
    found = make_lists(libraries, scene, 60_000)
    launch = found.launch
    exact = replace(scene).to("cpu", torch.float64).draw(Torch())
    assert (found.visible == exact.visible).all()
    torch.testing.assert_close(found.radius, exact.radius.float(), rtol=1e-4, atol=1e-3)
    assert found.needed == sum(len(keys) for keys in found.tiles)
    per_view = launch.tiles_x * launch.tiles_y
    listed = total = 0
    for view in range(launch.views):
        touched = touched_pixels(found, view).any(4).any(2)
        depth = found.records[view, :, 11].double() + found.records[view, :, 12].double()
        for tile in range(per_view):
            keys = found.tiles[view * per_view + tile]
            assert keys == sorted(keys)
            names = [key >> 8 & 0xFFFFFF for key in keys]
            assert len(set(names)) == len(names)
            z = depth[names]
            assert (z[1:] >= z[:-1]).all()
            top, left = 4 * (tile // launch.tiles_x), 2 * (tile % launch.tiles_x)
            block = touched[:, top : top + 4, left : left + 2].reshape(-1, 8)
            mask = torch.zeros(launch.surfels, 8, dtype=torch.bool)
            bits = torch.tensor([key & 0xFF for key in keys], dtype=torch.int64)
            mask[names] = (bits[:, None] >> torch.arange(8) & 1).bool()
            assert not (block & ~mask).any()
            listed += int(mask.sum())
        total += int(touched.sum())
    assert total > 0
    if name in (
        "ordinary",
        "small",
    ):  # no surfel there spans the whole screen: most of what is listed is touched
        assert listed < 1.6 * total


@pytest.mark.parametrize("share", [1.0, 0.3])
@pytest.mark.parametrize("name", SCENES)
def test_order_of_tiles(libraries: Mapping[str, ctypes.CDLL], name: str, share: float) -> None:
    """Long lists first, to within a quarter of their length, also of tiles that did not fit."""
    scene = random_scene(**SCENES[name], device="cpu")  # type: ignore[arg-type]
    whole = make_lists(libraries, scene, 60_000, sort=False)
    found = make_lists(libraries, scene, int(share * whole.needed), sort=False)
    per_view = len(whole.tiles) // len(found.order)
    for view, order in enumerate(found.order):
        assert sorted(order) == list(range(view * per_view, (view + 1) * per_view))
        lengths = [len(whole.tiles[tile]) for tile in order]
        longest = 0
        for length in reversed(lengths):
            longest = max(longest, length)
            assert longest <= 1.25 * length
        for length in set(lengths):
            same = [tile for tile, other in zip(order, lengths, strict=True) if other == length]
            assert same == sorted(same)


@pytest.mark.parametrize("size", [0.03, 1.0])
def test_every_number_of_projecting_blocks(libraries: Mapping[str, ctypes.CDLL], size: float) -> None:
    """However surfels are dealt out to blocks, the lists are the same; some blocks have none."""
    scene = random_scene(count=41, size=size, device="cpu")
    wanted = make_lists(libraries, scene, 60_000, sort=False)
    assert wanted.needed > 41
    for projecting in (1, 2, 7, 28, 50):
        found = make_lists(libraries, scene, 60_000, sort=False, projecting=projecting)
        assert found.tiles == wanted.tiles
        assert found.needed == wanted.needed
        held = [lists.records[lists.visible][:, :28] for lists in (found, wanted)]  # the rest holds nothing
        assert torch.equal(held[0], held[1])
        assert torch.equal(found.radius, wanted.radius)


def test_how_many_blocks_project() -> None:
    """Surfels in whole warps; as many blocks as a GPU runs at once, where a block can take its share."""
    blocks = cuda_rasterizer.projecting_blocks
    assert [blocks(n, 1) for n in (0, 1, 32, 33, 9140)] == [0, 1, 1, 2, 286]
    assert blocks(100_000, 1) == 521
    assert blocks(100_000, 8) == 391
    assert blocks(1 << 24, 1) == 65536


@pytest.mark.parametrize("cover", [1, 3])
def test_surfels_that_cover_everything(libraries: Mapping[str, ctypes.CDLL], cover: int) -> None:
    """Surfels whose plane the camera sees to its horizon are in every tile, beside others."""
    scene = random_scene(count=40, views=1, poses=1, size=0.02, height=720, width=760, device="cpu")
    camera = scene.cameras.camera_from_world[0]
    axes = camera[:3, :3].T
    mean, tangents = scene.surfels.mean.clone(), scene.surfels.tangents.clone()
    # planes that lead away from just below the camera, whose footprint is unbounded
    mean[0, :cover] = axes @ (torch.tensor([0.0, 0.05, 0.2]) - camera[:3, 3])
    tangents[0, :cover] = axes[:, [0, 2]]
    opacity = scene.surfels.opacity.clone()
    opacity[:cover] = 0.9
    surfels = replace(scene.surfels, mean=mean, tangents=tangents, opacity=opacity)
    found = make_lists(libraries, replace(scene, surfels=surfels), 20_000, sort=False)
    assert len(found.tiles) > 2048
    names = [{key >> 8 & 0xFFFFFF for key in keys} for keys in found.tiles]
    assert all(set(range(cover)) <= held for held in names)
    assert any(len(held) > cover for held in names)
    assert found.needed == sum(len(keys) for keys in found.tiles)


SPANS = """
#include "emulator.h"
#include "cuda/footprints.h"
// Columns of 4-row bands by footprint_span, and whether span_columns finds the same.
extern "C" int differing_spans(const float4* records, int count, int height, int width, int* met) {
  Launch p{};
  p.height = height, p.width = width;
  int differing = 0;
  for (int n = 0; n < count; ++n)
    for (int row = 0; row < height; row += 4) {
      const StoredFootprint f = unpack_footprint(records + kRecord * n);
      const Outline<float> o = outline(f.shape);
      int first, last, wanted_first = 0, wanted_last = -1;
      span_columns(o, f, p, row, 4, first, last);
      float x0, x1;
      const float y0 = float(row) + 0.5f - f.y;
      if (footprint_span(o, y0, y0 + 3.0f, x0, x1)) {
        wanted_first = int(lesser(greater(ceilf(f.x + x0 - 0.5f), 0.0f), float(width)));
        wanted_last = int(lesser(greater(floorf(f.x + x1 - 0.5f), -1.0f), float(width - 1)));
      }
      const bool found = first <= last, wanted = wanted_first <= wanted_last;
      *met += wanted;
      differing += found != wanted || (found && (first != wanted_first || last != wanted_last));
    }
  return differing;
}
"""


@pytest.mark.parametrize("name", SCENES)
def test_spans_without_branches(libraries: Mapping[str, ctypes.CDLL], name: str) -> None:
    """The columns that a band of rows may touch are those of the source that the CPU shares, bit for bit."""
    compiler = shutil.which("c++")
    assert compiler is not None  # as the fixture has found
    library = emulated_source(compiler, "spans", SPANS)
    found = make_lists(libraries, random_scene(**SCENES[name], device="cpu"), 60_000, sort=False)  # type: ignore[arg-type]
    records = found.records[found.visible].contiguous()
    sizes = len(records), found.launch.height, found.launch.width
    met = ctypes.c_int(0)
    assert library.differing_spans(ctypes.c_void_p(records.data_ptr()), *sizes, ctypes.byref(met)) == 0
    assert met.value > 20


MASKS = """
#include "emulator.h"
#include "cuda/footprints.h"
extern "C" void pixel_masks(const float4* records, int count, int rows, int columns, unsigned* masks) {
  for (int n = 0; n < count; ++n)
    for (int row = 0; row < rows; ++row)
      for (int column = 0; column < columns; ++column) {
        const float4* record = records + kRecord * n;
        const float x = kPatchWidth * column + 0.5f - record[0].x - record[0].z;
        const float y = kPatchHeight * row + 0.5f - record[0].y - record[0].w;
        *masks++ = pixel_mask(unpack_footprint(record).shape, x, y);
      }
}
"""


@pytest.mark.parametrize("name", SCENES)
def test_pixels_of_a_patch(libraries: Mapping[str, ctypes.CDLL], name: str) -> None:
    """No pixel that a surfel touches is missing in the mask that forward compositing walks; few too many."""
    compiler = shutil.which("c++")
    assert compiler is not None  # as the fixture has found
    library = emulated_source(compiler, "pixel_masks", MASKS)
    found = make_lists(libraries, random_scene(**SCENES[name], device="cpu"), 60_000)  # type: ignore[arg-type]
    held = total = 0
    for view in range(found.launch.views):
        touched = touched_pixels(found, view)[found.visible[view]]
        records = found.records[view][found.visible[view]].contiguous()
        count, rows, _, columns, _ = touched.shape
        masks = torch.zeros(count, rows, columns, dtype=torch.int32)
        pointers = ctypes.c_void_p(records.data_ptr()), ctypes.c_void_p(masks.data_ptr())
        library.pixel_masks(pointers[0], count, rows, columns, pointers[1])
        bits = (masks[..., None] >> torch.arange(32, dtype=torch.int32) & 1).bool()
        mask = bits.reshape(count, rows, columns, 4, 8).transpose(2, 3)
        assert not (touched & ~mask).any()
        held += int(mask.sum())
        total += int(touched.sum())
    assert total > 0
    if name == "ordinary":
        assert held < 1.4 * total  # some span the whole screen


@pytest.mark.parametrize("depths", ["distinct", "three", "one"])
@pytest.mark.parametrize("count", [1, 2, 33, 128, 129, 250, 500, 513, 1000, 1100])
def test_order_within_a_tile(libraries: Mapping[str, ctypes.CDLL], count: int, depths: str) -> None:
    """Lists of every length by depth, and by index where depths are equal or nearly so."""
    scene = random_scene(count=count, views=1, poses=1, size=1.0, height=16, width=16, device="cpu")
    mean = scene.surfels.mean
    if depths != "distinct":
        choice = torch.arange(count) % (3 if depths == "three" else 1)
        mean = mean[:, choice.clamp(max=count - 1)]
    surfels = replace(scene.surfels, mean=mean, opacity=torch.full_like(scene.surfels.opacity, 0.9))
    found = make_lists(libraries, replace(scene, surfels=surfels), 2000)
    (keys,) = found.tiles
    names = [key >> 8 & 0xFFFFFF for key in keys]
    depth = (found.records[0, :, 11].double() + found.records[0, :, 12].double()).tolist()
    assert len(names) > 0.6 * count
    assert set(names) <= set(torch.nonzero(found.visible[0]).flatten().tolist())
    assert names == sorted(names, key=lambda index: (depth[index], index))


@pytest.mark.parametrize("share", [0.0, 0.4, 0.99])
def test_too_little_room(libraries: Mapping[str, ctypes.CDLL], share: float) -> None:
    """The tiles that fit have whole lists, whatever became of the notes; the need is reported."""
    scene = random_scene(count=300, device="cpu")
    whole = make_lists(libraries, scene, 60_000, sort=False)
    capacity = max(int(share * whole.needed), 1)
    found = make_lists(libraries, scene, capacity, sort=False)
    assert found.needed == whole.needed
    end = 0
    for keys, wanted in zip(found.tiles, whole.tiles, strict=True):
        end += len(wanted)
        assert keys == (wanted if end <= capacity else [])


def test_every_number_of_blocks(libraries: Mapping[str, ctypes.CDLL]) -> None:
    """More tiles than one block of the scan takes; any number of blocks that scatter."""
    scene = random_scene(count=60, views=3, height=310, width=330, device="cpu")
    first, second = (make_lists(libraries, scene, 60_000, blocks, sort=False) for blocks in (1, 7))
    assert len(first.tiles) > 1024
    assert first.needed == sum(len(keys) for keys in first.tiles) > 100
    assert first.tiles == second.tiles
    assert first.order == second.order

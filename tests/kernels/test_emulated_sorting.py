"""The sort inside a tile, compiled for the CPU and run thread by thread, on lists of every length."""

from __future__ import annotations

import ctypes
import shutil
from collections.abc import Callable, Iterator, Mapping

import pytest
import torch
from torch import Tensor

from surfhead.kernels import cuda_rasterizer
from tests.kernels.emulation import emulated_kernels, emulated_source

KERNELS = {"tile_lists": {"sort_tiles": "Launch"}}


@pytest.fixture(scope="module")
def libraries() -> Iterator[Mapping[str, ctypes.CDLL]]:
    """The kernel for the CPU."""
    with emulated_kernels(KERNELS) as found:
        yield found


def drawn(high: int, count: int, seed: int) -> Tensor:
    """(count,) int64 below ``high``."""
    return torch.randint(high, (count,), generator=torch.Generator().manual_seed(seed))


def crowded(count: int, seed: int) -> Tensor:
    """All but two depths in a range that leading bits do not tell apart."""
    depths = 0x7FFF_0000 + drawn(1 << 9, count, seed)
    depths[: min(count, 2)] = torch.tensor([0xFFFF_FFFF, 0])[: min(count, 2)]
    return depths


DEPTHS: dict[str, Callable[[int, int], Tensor]] = {
    "spread": lambda count, seed: drawn(1 << 32, count, seed),
    "narrow": lambda count, seed: 0xFFFF_0000 + drawn(1 << 14, count, seed),
    "falling": lambda count, _: 0xFFFF_FFFF - torch.arange(count),
    "rising": lambda count, _: torch.arange(count),
    "five": lambda count, seed: 0x3000_0000 * drawn(5, count, seed),
    "one": lambda count, _: torch.full((count,), 0xFFFF_FFFF),
    "crowded": crowded,
}


def make_keys(depths: Tensor, seed: int) -> list[int]:
    """Keys of distinct surfels, the greatest index among them, in no order of their indices."""
    count = len(depths)
    index = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    index[index == 0] = cuda_rasterizer.MAX_SURFELS - 2
    rest = (index << 8 | drawn(256, count, seed + 1)).tolist()
    return [depth << 32 | low for depth, low in zip(depths.tolist(), rest, strict=True)]


def sort(
    libraries: Mapping[str, ctypes.CDLL], lists: list[list[int]], capacity: int | None = None
) -> list[list[int]]:
    """The entries that the kernel leaves for each tile, by a launch that begins with the last tile."""
    ends = torch.tensor([0] + [len(keys) for keys in lists]).cumsum(0)
    total = int(ends[-1])
    signed = [key - (key >> 63 << 64) for keys in lists for key in keys]
    tensors = {
        "offsets": ends.int(),
        "order": torch.arange(len(lists) - 1, -1, -1, dtype=torch.int32),
        "keys": torch.tensor([*signed, -1], dtype=torch.int64),  # one more, which nobody may touch
        "places": torch.full((total + 1, 4), -1, dtype=torch.int32),
        "entries": torch.full((total + 1,), -1, dtype=torch.int32),
    }
    launch = cuda_rasterizer.Launch()
    launch.views, launch.tiles_x, launch.tiles_y = 1, len(lists), 1
    launch.capacity = total if capacity is None else capacity
    for name, tensor in tensors.items():
        setattr(launch, name, tensor.data_ptr())
    libraries["tile_lists"].launch_sort_tiles(ctypes.byref(launch), len(lists), 1, 1, 128)
    assert int(tensors["keys"][-1]) == int(tensors["entries"][-1]) == -1
    assert (tensors["places"][-1] == -1).all()
    found = [entry & 0xFFFF_FFFF for entry in tensors["entries"].tolist()]
    return [found[begin:end] for begin, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)]


COUNTS = (1, 2, 128, 129, 512, 513, 1023, 1024, 1025, 2000, 2048, 2049, 4096, 4097, 9000)


@pytest.mark.parametrize("kind", DEPTHS)
@pytest.mark.parametrize("count", COUNTS)
def test_lists_of_every_length(libraries: Mapping[str, ctypes.CDLL], count: int, kind: str) -> None:
    """By depth, and by index at equal depth; no tile reaches into its neighbours."""
    lists = [make_keys(DEPTHS[kind](n, seed), seed) for seed, n in enumerate((3, count, 0, 130))]
    wanted = [[key & 0xFFFF_FFFF for key in sorted(keys)] for keys in lists]
    assert sort(libraries, lists) == wanted


def test_tiles_that_do_not_fit(libraries: Mapping[str, ctypes.CDLL]) -> None:
    """Only lists that end within the room are sorted; the others' words stay as they are."""
    lists = [make_keys(drawn(1 << 32, n, n), n) for n in (70, 2100, 90)]
    found = sort(libraries, lists, capacity=2170)
    assert found[:2] == [[key & 0xFFFF_FFFF for key in sorted(keys)] for keys in lists[:2]]
    assert found[2] == [0xFFFF_FFFF] * 90


LEADING = """
#include "emulator.h"
#include "cuda/sorting.h"
struct Depths {
  const uint32* depths;
  uint32* found;
  int count, bits;
};
static void leading(const Depths p) {
  uint32 own[kMostEach];
  for (int i = 0; i < kMostEach; ++i) {
    const int slot = i * kSortThreads + int(threadIdx.x);
    own[i] = slot < p.count ? p.depths[slot] : 12345u;
  }
  int shift;
  p.found[2 * threadIdx.x] = relative_to_least(own, p.count, p.bits, shift);
  p.found[2 * threadIdx.x + 1] = uint32(shift);
}
EMULATED(leading, Depths)
"""


class Depths(ctypes.Structure):
    """The kernel's argument."""

    _fields_ = [("depths", ctypes.c_void_p), ("found", ctypes.c_void_p)] + [
        (name, ctypes.c_int) for name in ("count", "bits")
    ]


@pytest.mark.parametrize(
    ("least", "greatest", "shift"),
    [
        (7, 7, 0),
        (0, (1 << 21) - 1, 0),
        (5, 5 + (1 << 21), 1),
        (0xFFF0_0000, 0xFFFF_FFFF, 0),
        (0, 0xFFFF_FFFF, 11),
        (0x8000_0000, 0xFFFF_FFFF, 10),
    ],
)
@pytest.mark.parametrize("count", [3, 1500, 2048])
def test_leading_bits_are_of_the_tile(
    libraries: Mapping[str, ctypes.CDLL], count: int, least: int, greatest: int, shift: int
) -> None:
    """Of a long list those bits are sorted by first that its own range needs, whatever the view's is."""
    compiler = shutil.which("c++")
    assert compiler is not None  # as the fixture has found
    library = emulated_source(compiler, "leading_bits", LEADING)
    depths = least + drawn(greatest - least + 1, count, 0)
    depths[count // 2], depths[-1] = greatest, least
    words = (depths - (depths >> 31 << 32)).int()
    found = torch.full((128, 2), -1, dtype=torch.int32)
    given = Depths(words.data_ptr(), found.data_ptr(), count, 21)
    library.launch_leading(ctypes.byref(given), 1, 1, 1, 128)
    assert ((found[:, 0].long() & 0xFFFF_FFFF) == least).all()
    assert (found[:, 1] == shift).all()

"""The kernels of an exchange between two GPUs, run on the CPU, where both memories are one."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from surfhead.core.errors import ShapeError
from surfhead.kernels.cuda_peer_exchange import CHUNK, PARTS, average_with_peer, copy_to_peer
from tests.kernels.emulation import emulated_kernels

KERNELS = {"peer_exchange": {"copy_to_peer": "Parts", "average_with_peer": "Parts"}}
SIZES = (1, 3, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 0, 5 * CHUNK)


@pytest.fixture(scope="module", autouse=True)
def libraries() -> Iterator[dict[str, ctypes.CDLL]]:
    """Launches go to the emulator."""
    with emulated_kernels(KERNELS) as found:
        yield found


def draw(sizes: tuple[int, ...], seed: int, shift: int = 0) -> list[Tensor]:
    """Tensors that begin ``shift`` elements after where an allocation does."""
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(size + shift, generator=g)[shift:] for size in sizes]


@pytest.mark.parametrize("blocks", [1, 3, 264])
@pytest.mark.parametrize(("shift", "other_shift"), [(0, 0), (1, 0), (0, 3), (2, 2)])
def test_copies_and_means(blocks: int, shift: int, other_shift: int) -> None:
    """Of any size, wherever they begin: bits of the sum of halves, and nothing beside them is touched."""
    one, two = draw(SIZES, 1, shift), draw(SIZES, 2, other_shift)
    wanted = [0.5 * a + 0.5 * b for a, b in zip(one, two, strict=True)]
    region = torch.full((sum(SIZES) + len(SIZES) + 1 + other_shift,), 7.0)
    places, start = [], other_shift
    for size in SIZES:
        places.append(region[start : start + size])
        start += size + 1
    copy_to_peer(places, two, blocks)
    assert all(torch.equal(a, b) for a, b in zip(places, two, strict=True))
    assert int((region == 7.0).sum()) == len(region) - sum(SIZES)
    turned = [value.clone() for value in two]
    average_with_peer(turned, one, blocks)
    average_with_peer(one, places, blocks)
    for a, b, c in zip(one, turned, wanted, strict=True):
        assert torch.equal(a, c)
        assert torch.equal(b, c), "the same whichever is whose"


def test_more_than_a_launch_takes() -> None:
    sizes = tuple(range(1, 2 * PARTS + 3))
    one, two = draw(sizes, 1), draw(sizes, 2)
    wanted = [0.5 * a + 0.5 * b for a, b in zip(one, two, strict=True)]
    average_with_peer(one, two)
    assert all(torch.equal(a, b) for a, b in zip(one, wanted, strict=True))
    average_with_peer([], [])


def test_what_does_not_fit_is_refused() -> None:
    whole = torch.zeros(4, 4)
    with pytest.raises(ShapeError, match="as many elements"):
        copy_to_peer([torch.zeros(15)], [whole])
    with pytest.raises(ShapeError, match="float32"):
        copy_to_peer([whole.double()], [whole.double()])
    with pytest.raises(ShapeError, match="contiguous"):
        average_with_peer([whole], [whole.T])

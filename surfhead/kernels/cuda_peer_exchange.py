"""Gradients of two GPUs to their means: the kernels around what the GPUs wait for each other with."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from surfhead.core.errors import ShapeError
from surfhead.kernels import cuda_driver
from surfhead.kernels.doors import require_contiguous

THREADS, PARTS, CHUNK = 256, 64, 4096  # of peer_exchange.cu
BLOCKS = 264  # two a multiprocessor of a large GPU have enough under way for its memory, and leave room


class Parts(ctypes.Structure):
    """struct Parts of peer_exchange.cu."""

    _fields_ = (
        ("parts", ctypes.c_int),
        ("first", ctypes.c_int * (PARTS + 1)),
        ("size", ctypes.c_int * PARTS),
        ("to", ctypes.c_void_p * PARTS),
        ("from_", ctypes.c_void_p * PARTS),
    )


def copy_to_peer(to: Sequence[Tensor], values: Sequence[Tensor], blocks: int = BLOCKS) -> None:
    """Copy float32 tensors into others of as many elements, PARTS of them in a launch.

    Args:
        to: contiguous, such as of another GPU's memory that this one can reach.
        values: contiguous.
        blocks: of threads, at most; few of them leave multiprocessors to what runs beside it.
    """
    _run("copy_to_peer", to, values, blocks)


def average_with_peer(values: Sequence[Tensor], others: Sequence[Tensor], blocks: int = BLOCKS) -> None:
    """Replace float32 tensors by their means with others of as many elements, PARTS of them in a launch."""
    _run("average_with_peer", values, others, blocks)


def _run(name: str, to: Sequence[Tensor], values: Sequence[Tensor], blocks: int) -> None:
    pairs = list(zip(to, values, strict=True))
    for one, other in pairs:
        require_contiguous(name, {"to": one, "values": other})
        if (one.numel(), one.dtype, other.dtype) != (other.numel(), torch.float32, torch.float32):
            raise ShapeError(
                f'Kernel "{name}" was given {one.dtype} {tuple(one.shape)} and '
                f"{other.dtype} {tuple(other.shape)}.",
                "Expected torch.float32 of as many elements.",
                "Check how they were built.",
            )
    for start in range(0, len(pairs), PARTS):
        parts, chunks = Parts(), 0
        for i, (one, other) in enumerate(pairs[start : start + PARTS]):
            parts.parts, parts.first[i], parts.size[i] = i + 1, chunks, one.numel()
            parts.to[i], parts.from_[i] = one.data_ptr(), other.data_ptr()
            chunks += -(-one.numel() // CHUNK)
        parts.first[parts.parts] = chunks
        grid = min(chunks, blocks), 1
        cuda_driver.run("peer_exchange", name, parts, grid, THREADS, pairs[start][0].device)

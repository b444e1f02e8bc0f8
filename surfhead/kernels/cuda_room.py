"""How much room the rasterizer makes for (surfel, tile) entries, learnt from what earlier calls needed."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

MAX_ENTRIES = 2**31 - 1
SLOTS = 512

Size = tuple[int, int, int, int]  # device, views, height, width

#: Entries to make room for.
_learnt: dict[Size, int] = {}
#: Slot of the page, and room of the last call.
_slots: dict[Size, tuple[int, int]] = {}
#: Looks that found an overflow, so that everyone who holds a graph learns of it.
_met = [0]


@cache
def _page() -> Any:
    """Host memory that the kernels write their needs to, and a numpy view of it."""
    page = torch.zeros(SLOTS, dtype=torch.int64, pin_memory=True)
    return page, page.numpy()


def _round_up(count: int) -> int:
    """To one of eight steps an octave, so that few sizes of buffers occur."""
    step = 1 << max(count.bit_length() - 4, 10)
    return -(-count // step) * step


def planned_capacity(device: int, views: int, surfels: int, height: int, width: int) -> int:
    """Entries to make room for: what earlier calls of this size taught, at first four a surfel."""
    size = (device, views, height, width)
    if not torch.compiler.is_compiling():  # compiled code takes what was learnt when its kernels ran
        _learn(size)
    return min(_round_up(max(_learnt.get(size, 4 * views * surfels), views * surfels, 1)), MAX_ENTRIES)


def _learn(size: Size) -> None:
    """Take note of what the last finished call of this size needed, if it has reported by now."""
    if size not in _slots:
        return
    needed = int(_page()[1][_slots[size][0]])
    wanted = needed + needed // 4
    if wanted > _learnt.get(size, 0):
        _learnt[size] = min(_round_up(wanted), MAX_ENTRIES)


def report_address(size: Size, capacity: int) -> int:
    """Where a call of this size, with room for ``capacity`` entries, shall write what it needs."""
    _learn(size)
    slot = _slots[size][0] if size in _slots else len(_slots) % SLOTS
    _slots[size] = (slot, capacity)
    return int(_page()[0].data_ptr()) + 8 * slot


def check_overflow() -> bool:
    """Whether a call, or a replay of a graph, had too little room for its entries since the last look.

    Its pictures and gradients are right all the same, but took longer; the next call outside a graph has
    more room by itself, and a captured graph should be captured anew. Looks at host memory: does not wait for
    the GPU, so work that is still queued is not seen.
    """
    found = False
    for size, (slot, capacity) in _slots.items():
        values = _page()[1]
        if int(values[slot]) > capacity:
            _learn(size)
            values[slot] = 0
            found = True
    if found:
        _met[0] += 1
    return found


def overflows() -> int:
    """How many looks of ``check_overflow``, this one included, have found something so far."""
    check_overflow()
    return _met[0]

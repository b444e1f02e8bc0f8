"""The kernels' one argument: structures filled from tensors."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from surfhead.kernels import cuda_driver


def structure_fields(integers: str, pointers: str, floats: str = "") -> list[tuple[str, Any]]:
    """The ``_fields_`` of a structure of ints, then floats, then pointers, each a list of names."""
    return [
        *((name, ctypes.c_int) for name in integers.split()),
        *((name, ctypes.c_float) for name in floats.split()),
        *((name, ctypes.c_void_p) for name in pointers.split()),
    ]


def run_over(
    module: str,
    name: str,
    structure: Any,
    grid: tuple[int, ...],
    threads: int,
    device: torch.device,
    tensors: Mapping[str, Tensor | None],
) -> None:
    """Point the structure's fields at tensors, made contiguous (None: null), and launch a kernel."""
    kept = {name: value.contiguous() for name, value in tensors.items() if value is not None}
    for field, value in kept.items():
        setattr(structure, field, value.data_ptr())
    cuda_driver.run(module, name, structure, grid, threads, device)

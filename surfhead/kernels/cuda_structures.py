"""The kernels' one argument: structures filled from tensors."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from surfhead.kernels import cuda_driver
from surfhead.kernels.doors import measure


def structure_fields(integers: str, pointers: str, floats: str = "") -> list[tuple[str, Any]]:
    """The ``_fields_`` of a structure of ints, then floats, then pointers, each a list of names."""
    return [
        *((name, ctypes.c_int) for name in integers.split()),
        *((name, ctypes.c_float) for name in floats.split()),
        *((name, ctypes.c_void_p) for name in pointers.split()),
    ]


class Sizes(ctypes.Structure):
    """A kernel's one argument, whose sizes come from tensors.

    Attributes:
        rules: type and shape of each tensor the kernel reads (``surfhead.kernels.doors.measure``).
    """

    rules: ClassVar[dict[str, str]] = {}

    @classmethod
    def of(cls, operation: str, tensors: Mapping[str, Tensor | None], **known: int) -> Self:
        """The structure with the sizes these tensors agree on; raises ShapeError where they do not."""
        made = cls()
        for name, size in measure(operation, cls.rules, tensors, **known).items():
            setattr(made, name, size)
        return made


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

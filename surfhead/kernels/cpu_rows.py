"""The CUDA kernels whose threads do not wait for each other, run by the native CPU library (cpu/rows.h).

So one source and one operator serve both kinds of device. Results do not depend on the number of threads.
"""

from __future__ import annotations

import ctypes
from functools import cache

import torch

from surfhead.core.errors import SurfheadError
from surfhead.kernels import cpu
from surfhead.kernels.choices import chosen

SCATTERING = frozenset({"relative_logarithms_backward", "pose_triangles_backward"})
"""Kernels whose blocks of one row of the grid add to the same places."""


class Rows(ctypes.Structure):
    """struct SurfheadRows of interface.h."""

    _fields_ = (
        ("arguments", ctypes.c_void_p),
        ("grid", ctypes.c_int64 * 3),
        *((name, ctypes.c_int64) for name in ("block", "threads", "scatters")),
    )


@cache
def _has_them(library: ctypes.CDLL) -> bool:
    return hasattr(library, "surfhead_rows")  # libraries built before them know the rasterizer alone


def serves(tensor: torch.Tensor) -> bool:
    """Whether the library can stand in for PyTorch's operations on this tensor."""
    return (
        tensor.dtype == torch.float32
        and tensor.device.type == "cpu"
        and chosen("cpu")
        and cpu.unavailable() is None
        and _has_them(cpu.library())
    )


@cache
def knows(module: str, name: str = "") -> bool:
    """Whether the loaded library has a kernel; asks by a launch over nothing."""
    nothing = Rows()
    nothing.block = nothing.threads = 1
    found: int = cpu.library().surfhead_rows(
        cpu.instruction_set(), module.encode(), (name or module).encode(), ctypes.byref(nothing)
    )
    return found == 0


def run(module: str, name: str, structure: ctypes.Structure, grid: tuple[int, ...], threads: int) -> None:
    """Run a kernel over its grid. Raises UnavailableError without the library."""
    if min(grid) <= 0:
        return
    library, number = cpu.library(), cpu.instruction_set()
    rows = Rows()
    rows.arguments = ctypes.addressof(structure)
    rows.grid[:] = (*grid, 1)[:3]
    rows.block, rows.threads = threads, torch.get_num_threads()
    # triangles gather from surfels in the blend's backward, where the rig takes a gradient
    rows.scatters = name in SCATTERING or (
        name == "blend_triangles_backward" and bool(getattr(structure, "g_quaternion", None))
    )
    status = library.surfhead_rows(number, module.encode(), name.encode(), ctypes.byref(rows))
    if status:
        reason = "ran out of memory" if status == 1 else "is not in the native library"
        raise SurfheadError(
            f'Kernel "{name}" {reason}.',
            "Expected the library of this version of surfhead, and memory for some rows of a picture.",
            "Build it anew: python -m surfhead.kernels.build, or reinstall.",
        )

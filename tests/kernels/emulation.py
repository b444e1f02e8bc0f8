"""CUDA kernels compiled for the CPU and run thread by thread (emulator.h)."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from surfhead.kernels import cuda_driver
from surfhead.kernels.sources import kernel_sources


@contextmanager
def emulated_kernels(
    kernels: Mapping[str, Mapping[str, str]], folder: Path
) -> Iterator[dict[str, ctypes.CDLL]]:
    """Send launches to the CPU; skips where that cannot be compiled.

    Args:
        kernels: module -> kernel -> the structure that is its argument.
        folder: for the libraries.
    """
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("needs a C++ compiler")
    found = {module: _library(compiler, module, names, folder) for module, names in kernels.items()}

    def run(
        module: str, name: str, structure: ctypes.Structure, grid: tuple[int, ...], threads: int, _: Any
    ) -> None:
        if min(grid) > 0:
            launch = getattr(found[module], f"launch_{name}")
            launch(ctypes.byref(structure), *(*grid, 1)[:3], threads)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda_driver, "run", run)
        patch.setattr(cuda_driver, "kernels", lambda _: EmulatedKernels(found))
        yield found


class EmulatedKernels:
    """Takes the launches that go to the kernels of a device."""

    def __init__(self, libraries: Mapping[str, ctypes.CDLL]) -> None:
        self.libraries = libraries

    def enter(self) -> None:
        """There is no context to enter."""

    def launch(
        self, module: str, name: str, grid: tuple[int, ...], threads: int, stream: int, arguments: int
    ) -> None:
        """Run the kernel; ``arguments`` is the address of the pointer to its structure."""
        if min(grid) > 0:
            structure = ctypes.c_void_p.from_address(arguments)
            getattr(self.libraries[module], f"launch_{name}")(structure, *(*grid, 1)[:3], threads)


def _library(compiler: str, module: str, names: Mapping[str, str], folder: Path) -> ctypes.CDLL:
    lines = ['#include "emulator.h"', f'#include "cuda/{module}.cu"']
    lines += [f"EMULATED({kernel}, {structure})" for kernel, structure in names.items()]
    source, target = folder / f"{module}.cpp", folder / f"{module}.so"
    source.write_text("\n".join(lines))
    flags = ["-O1", "-std=c++20", "-shared", "-fPIC", "-pthread", "-fno-gnu-unique"]
    where = [f"-I{Path(__file__).parent}", f"-I{kernel_sources()}"]
    done = subprocess.run(
        [compiler, *flags, *where, "-o", str(target), str(source)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0 and "barrier" in done.stderr:
        pytest.skip("the compiler has no C++20 barriers")
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(target))


def close(found: Tensor, wanted: Tensor, name: str, tolerance: float = 2e-5) -> None:
    """Relative to the norm of the whole."""
    error = float((found.double() - wanted.double()).norm() / wanted.double().norm().clamp_min(1e-30))
    assert error < tolerance, f"{name}: {error:.1e}"

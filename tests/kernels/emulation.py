"""CUDA kernels compiled for the CPU and run thread by thread (emulator.h)."""

from __future__ import annotations

import ctypes
import hashlib
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from torch import Tensor

from surfhead.kernels import cuda_driver
from surfhead.kernels.sources import kernel_sources

BUILT = Path(__file__).parents[2] / "build" / "emulated"  # a library is made once for all that it is made of
FLAGS = ("-O1", "-std=c++20", "-shared", "-fPIC", "-fno-gnu-unique", "-U_FORTIFY_SOURCE")


@contextmanager
def emulated_kernels(kernels: Mapping[str, Mapping[str, str]]) -> Iterator[dict[str, ctypes.CDLL]]:
    """Send launches of these kernels to the emulator; skips where that cannot be compiled.

    Others run as ever, as a CPU's native library may have them.

    Args:
        kernels: module -> kernel -> the structure that is its argument.
    """
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("needs a C++ compiler")
    found = {module: _library(compiler, module, names) for module, names in kernels.items()}

    native = cuda_driver.run

    def run(
        module: str, name: str, structure: ctypes.Structure, grid: tuple[int, ...], threads: int, device: Any
    ) -> None:
        if module not in found:
            native(module, name, structure, grid, threads, device)
        elif min(grid) > 0:
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


def _library(compiler: str, module: str, names: Mapping[str, str]) -> ctypes.CDLL:
    lines = ['#include "emulator.h"', f'#include "cuda/{module}.cu"']
    lines += [f"EMULATED({kernel}, {structure})" for kernel, structure in names.items()]
    return emulated_source(compiler, module, "\n".join(lines))


def emulated_source(compiler: str, name: str, text: str) -> ctypes.CDLL:
    """The library called ``name`` of a C++ source that may include the emulator and the kernels' files."""
    target = BUILT / f"{name}-{_digest(compiler, text)}.so"
    BUILT.mkdir(parents=True, exist_ok=True)
    with FileLock(BUILT / f"{name}.lock"):
        if not target.exists():
            for old in BUILT.glob(f"{name}-*.so"):
                old.unlink()
            _compile(compiler, text, target)
    return ctypes.CDLL(str(target))


def _digest(compiler: str, text: str) -> str:
    """Of everything a library is made of."""
    version = subprocess.run([compiler, "--version"], capture_output=True, check=True).stdout
    digest = hashlib.sha256(repr((text, FLAGS, version)).encode())
    for file in (Path(__file__).with_name("emulator.h"), *sorted(kernel_sources().rglob("*.*"))):
        if file.suffix in (".h", ".cu", ".cuh"):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:20]


def _compile(compiler: str, text: str, target: Path) -> None:
    source, made = target.with_suffix(".cpp"), target.with_suffix(".new")
    source.write_text(text)
    where = [f"-I{Path(__file__).parent}", f"-I{kernel_sources()}"]
    done = subprocess.run(
        [compiler, *FLAGS, *where, "-o", str(made), str(source)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0 and "ucontext" in done.stderr:
        pytest.skip("the compiler has no ucontext.h")
    assert done.returncode == 0, done.stderr
    made.replace(target)


def close(found: Tensor, wanted: Tensor, name: str, tolerance: float = 2e-5) -> None:
    """Relative to the norm of the whole."""
    error = float((found.double() - wanted.double()).norm() / wanted.double().norm().clamp_min(1e-30))
    assert error < tolerance, f"{name}: {error:.1e}"

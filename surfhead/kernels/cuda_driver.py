"""Loading compiled kernels and launching them on PyTorch's current stream and device."""

from __future__ import annotations

import ctypes
import importlib
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import torch

from surfhead.core.errors import UnavailableError
from surfhead.kernels import cpu_rows, cuda_compiler
from surfhead.kernels.sources import kernel_sources


def _driver() -> Any:
    cuda_compiler.nvrtc_version()
    return importlib.import_module("cuda.bindings.driver")


def driver_version() -> tuple[int, int]:
    """The newest CUDA version that the installed driver understands. Raises UnavailableError."""
    try:
        status, version = _driver().cuDriverGetVersion()
    except UnavailableError:
        raise
    except Exception as error:
        raise UnavailableError(
            "No NVIDIA driver was found.", "", "Install NVIDIA's driver, or use --rasterizer cpu."
        ) from error
    if int(status) != 0:
        raise UnavailableError(f"The NVIDIA driver answered {status}.", "", "Check `nvidia-smi`.")
    return version // 1000, version % 1000 // 10


@cache
def unavailable() -> str | None:
    """None when the kernels can run here, else the reason in one sentence. Compiles nothing."""
    if torch.version.cuda is None:
        return "this PyTorch is built without CUDA; install one that has it from pytorch.org."
    if not torch.cuda.is_available():
        return "PyTorch finds no NVIDIA GPU (see `nvidia-smi`)."
    try:
        check_driver()
        cuda_compiler.target(capability(torch.cuda.current_device()))
    except UnavailableError as error:
        return " ".join(line for line in (error.what, error.remedy) if line)
    return None


def check_driver() -> None:
    """Raise UnavailableError where the driver is older than what NVRTC makes code for."""
    driver, nvrtc = driver_version(), cuda_compiler.nvrtc_version()
    if driver[0] < nvrtc[0]:
        raise UnavailableError(
            f"The NVIDIA driver is too old: it understands CUDA {driver[0]}.{driver[1]}, "
            f"NVRTC makes code for CUDA {nvrtc[0]}.{nvrtc[1]}.",
            "",
            f'Update the driver, or install the older compiler: pip install "surfhead[cuda{driver[0]}]"',
        )


def capability(device: int) -> int:
    """Compute capability of a device times ten, such as 90."""
    major, minor = torch.cuda.get_device_capability(device)
    return 10 * major + minor


class Kernels:
    """The loaded kernels of one device, by name.

    Compiles (or reads from the cache) and loads a module when one of its kernels is first asked for. Must not
    first happen while a CUDA graph is captured.
    """

    def __init__(self, device: int) -> None:
        check_driver()
        self.device = device
        self.capability = capability(device)
        self._driver = _driver()
        self._code: dict[str, Any] = {}
        self._handles: dict[str, Any] = {}
        self._launch = self._driver.cuLaunchKernel
        with torch.cuda.device(device):
            torch.cuda.current_stream().query()  # makes PyTorch set the context up
            status, self._context = self._driver.cuCtxGetCurrent()
        self._check(status, "cuCtxGetCurrent")

    def _check(self, status: Any, what: str) -> None:
        if int(status) != 0:
            message = self._driver.cuGetErrorString(status)[1]
            text = message.decode() if isinstance(message, bytes) else str(status)
            raise RuntimeError(f"CUDA kernel {what!r} failed: {text}")

    def compile_all(self, folder: Path | None = None) -> None:
        """Compile every module that is not in the cache, side by side."""
        where = kernel_sources() if folder is None else folder
        with ThreadPoolExecutor(len(cuda_compiler.MODULES)) as pool:
            jobs = [
                pool.submit(cuda_compiler.compile_module, module, self.capability, where)
                for module in cuda_compiler.MODULES
            ]
            for module, job in zip(cuda_compiler.MODULES, jobs, strict=True):
                self._load(module, job.result())

    def _load(self, module: str, code: bytes) -> None:
        if module in self._code:
            return
        kind = cuda_compiler.target(self.capability)[1]
        object_code = cuda_compiler.toolchain().ObjectCode
        load = object_code.from_cubin if kind == "cubin" else object_code.from_ptx
        self._code[module] = load(code)

    def enter(self) -> None:
        """Make this device's context current in the calling thread (autograd's threads start without)."""
        status, current = self._driver.cuCtxGetCurrent()
        if int(status) != 0 or int(current) != int(self._context):
            self._check(self._driver.cuCtxSetCurrent(self._context)[0], "cuCtxSetCurrent")

    def handle(self, module: str, name: str) -> Any:
        """The kernel ``name`` of ``module``."""
        found = self._handles.get(name)
        if found is None:
            if module not in self._code:
                self.compile_all()
            try:
                kernel = self._code[module].get_kernel(name)
            except Exception:  # a damaged file in the cache: compile anew, whatever the loader said
                self._code.pop(module)
                folder = kernel_sources()
                cuda_compiler.cache_path(module, self.capability, folder).unlink(missing_ok=True)
                self._load(module, cuda_compiler.compile_module(module, self.capability, folder))
                kernel = self._code[module].get_kernel(name)
            handle = getattr(kernel, "handle", None) or kernel._handle
            found = self._handles[name] = self._driver.CUfunction(int(handle))
        return found

    def launch(
        self, module: str, name: str, grid: tuple[int, ...], threads: int, stream: int, arguments: int
    ) -> None:
        """Launch a kernel on a grid of two or three dimensions, none if one of them is 0.

        ``arguments`` is the address of an array of pointers to the kernel's arguments.
        """
        if min(grid) <= 0:
            return
        function = self.handle(module, name)
        blocks = (*grid, 1) if len(grid) == 2 else grid
        (status,) = self._launch(function, *blocks, threads, 1, 1, 0, stream, arguments, 0)
        if int(status) != 0:
            self._check(status, name)


@cache
def kernels(device: int) -> Kernels:
    """The kernels of a device. Raises UnavailableError."""
    return Kernels(device)


def argument_pointers(structure: ctypes.Structure) -> Any:
    """The array of argument pointers for a kernel whose one parameter is ``structure`` by value."""
    return (ctypes.c_void_p * 1)(ctypes.addressof(structure))


def run(
    module: str,
    name: str,
    structure: ctypes.Structure,
    grid: tuple[int, ...],
    threads: int,
    device: torch.device,
) -> None:
    """Launch one kernel, whose one parameter is ``structure``, on ``device`` and PyTorch's current stream.

    On a CPU the native library runs the same source (``cpu_rows``).
    """
    if device.type == "cpu":
        cpu_rows.run(module, name, structure, grid, threads)
        return
    index = torch.cuda.current_device() if device.index is None else device.index
    with torch.cuda.device(index):
        loaded = kernels(index)
        loaded.enter()
        pointers = argument_pointers(structure)
        stream = torch.cuda.current_stream().cuda_stream
        loaded.launch(module, name, grid, threads, stream, ctypes.addressof(pointers))

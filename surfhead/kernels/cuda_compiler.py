"""CUDA sources to machine code by NVRTC, and the cache of the results on disk.

Nothing here needs a GPU: NVRTC compiles for any architecture on any machine. No CUDA toolkit and no
compiler is needed; the pip packages cuda-core, cuda-bindings and nvidia-cuda-nvrtc (extras ``cuda12`` and
``cuda13``) are enough.
"""

from __future__ import annotations

import hashlib
import importlib
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

from surfhead.core.cache import cache_folder
from surfhead.core.errors import UnavailableError

#: Source files of cuda_kernels/cuda, one module of kernels each.
MODULES = (
    "projection", "tile_lists", "forward", "backward", "picture_losses", "skinning", "triangles", "colours",
    "surface_terms", "optimiser", "rig", "highlight", "perceptron", "lit_colours", "peer_exchange",
)  # fmt: skip

#: Decisions must fall the same way in forward and backward, so no contraction (see surfel.h). Float quotients
#: and roots, good to 2 ulp so, serve culling, which leaves a margin, and the last step of pictures.
OPTIONS: dict[str, Any] = {
    "std": "c++17",
    "fma": False,
    "prec_sqrt": False,
    "prec_div": False,
    "ftz": False,
    "device_as_default_execution_space": True,
}

#: Seconds that NVRTC took in this process, by "module architecture"; cached modules are not in it.
compile_seconds: dict[str, float] = {}


def extra_for(torch_cuda: str | None) -> str:
    """The pip extra that matches PyTorch's CUDA version (``cuda12`` or ``cuda13``)."""
    return "cuda12" if (torch_cuda or "13").split(".")[0] == "12" else "cuda13"


def _missing(what: str) -> UnavailableError:
    import torch

    extra = extra_for(torch.version.cuda)
    return UnavailableError(
        f"The CUDA kernels cannot be compiled: {what}.",
        "They need the pip packages cuda-core, cuda-bindings and nvidia-cuda-nvrtc.",
        f'Install them: pip install "surfhead[{extra}]"',
    )


@cache
def toolchain() -> Any:
    """The module that holds Program and ObjectCode. Raises UnavailableError naming the pip extra."""
    for name in ("cuda.core", "cuda.core.experimental"):  # its home before and since cuda-core 0.5
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        if hasattr(module, "Program"):
            return module
    raise _missing('the package "cuda-core" is not installed')


@cache
def nvrtc_version() -> tuple[int, int]:
    """NVRTC's version. Raises UnavailableError naming the pip extra where it is missing."""
    toolchain()
    try:
        nvrtc = importlib.import_module("cuda.bindings.nvrtc")
        status, major, minor = nvrtc.nvrtcVersion()
    except Exception as error:  # each release words a missing library differently
        raise _missing("NVRTC is not installed") from error
    if int(status) != 0:
        raise _missing(f"NVRTC answered {status}")
    return int(major), int(minor)


@cache
def supported_architectures() -> tuple[int, ...]:
    """Compute capabilities NVRTC makes machine code for, such as 75 or 90, ascending."""
    nvrtc_version()
    nvrtc = importlib.import_module("cuda.bindings.nvrtc")
    return tuple(sorted(nvrtc.nvrtcGetSupportedArchs()[-1]))


def target(capability: int) -> tuple[str, str]:
    """What to compile for a GPU of this compute capability (such as 90): (``sm_90``, ``cubin``).

    For a GPU newer than NVRTC, the newest PTX that it knows. Raises UnavailableError for one too old.
    """
    known = supported_architectures()
    if capability in known:
        return f"sm_{capability}", "cubin"
    older = [value for value in known if value < capability]
    if not older or capability < 75:
        raise UnavailableError(
            f"This GPU's compute capability {capability / 10} is below what the CUDA kernels need.",
            "They run on compute capability 7.5 (Turing) to 12.0 and later.",
            "Use --rasterizer cpu or torch.",
        )
    return f"compute_{older[-1]}", "ptx"


def kernel_folder() -> Path:
    """Where compiled kernels are kept."""
    return cache_folder() / "cuda"


@cache
def source_hash(folder: Path) -> str:
    """A hash of every file that the CUDA kernels are made of, and of the options."""
    digest = hashlib.sha256(repr(sorted(OPTIONS.items())).encode())
    for path in sorted([*folder.glob("*.h"), *(folder / "cuda").iterdir()]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:24]


def cache_path(module: str, capability: int, folder: Path) -> Path:
    """The cache's file for a module: named by source hash, architecture and versions."""
    arch, kind = target(capability)
    core = getattr(toolchain(), "__version__", "0")
    major, minor = nvrtc_version()
    return kernel_folder() / f"{module}-{source_hash(folder)}-{arch}-nvrtc{major}.{minor}-core{core}.{kind}"


def compile_module(module: str, capability: int, folder: Path, *, use_cache: bool = True) -> bytes:
    """Machine code (or PTX) of ``cuda/<module>.cu`` in ``folder``, from the cache or compiled now.

    Args:
        module: one of MODULES.
        capability: compute capability times ten, such as 90.
        folder: the folder ``cuda_kernels``.
        use_cache: False compiles always and stores nothing.

    Raises:
        UnavailableError: NVRTC is missing, the GPU too old, or the sources do not compile.
    """
    arch, kind = target(capability)
    path = cache_path(module, capability, folder)
    if use_cache:
        try:
            return path.read_bytes()
        except OSError:
            pass
    core = toolchain()
    source = folder / "cuda" / f"{module}.cu"
    began = time.perf_counter()
    try:
        options = core.ProgramOptions(
            name=source.name, arch=arch, include_path=[str(source.parent), str(folder)], **OPTIONS
        )
        compiled = core.Program(source.read_text(), "c++", options).compile(kind)
        code = bytes(compiled.code)
    except Exception as error:
        raise UnavailableError(
            f'NVRTC could not compile "{source.name}" for {arch}: {error}',
            f"NVRTC {'.'.join(map(str, nvrtc_version()))}, sources in {folder}.",
            "Report this with the text above; use --rasterizer cpu or torch meanwhile.",
        ) from error
    compile_seconds[f"{module} {arch}"] = time.perf_counter() - began
    if use_cache:
        _store(path, code)
    return code


def _store(path: Path, code: bytes) -> None:
    """Write under a temporary name and rename: other processes see all of the file or none."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(code)
        Path(file.name).replace(path)
    except OSError:
        return  # a cache that cannot be written costs time, nothing else

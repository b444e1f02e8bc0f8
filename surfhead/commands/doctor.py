"""`surfhead doctor`: what this machine has, what it lacks, and why a part cannot run."""

from __future__ import annotations

import contextlib
import os
import platform
from importlib import metadata
from typing import Any

from surfhead import __version__
from surfhead.commands.list import broken
from surfhead.commands.parameters import Debug, ReportedPlugins
from surfhead.terminal.bars import watched
from surfhead.terminal.console import say
from surfhead.terminal.sizes import size_text

PACKAGES = (
    "torch",
    "numpy",
    "kornia",
    "trimesh",
    "embreex",
    "imageio-ffmpeg",
    "cuda-core",
    "tensorboard",
    "lpips",
)


def doctor(plugin: ReportedPlugins = None, debug: Debug = -1) -> None:
    """Report versions, devices, rasterizers with the reason where one cannot run, caches, broken plugins."""
    from surfhead.terminal.listing import Listing

    table = Listing(["", ""])
    for section in watched((versions, devices, kernels, rasterizers, folders), "Looking around", 5):
        table.rows += section()
    table.print()
    problems = broken()
    for problem in problems:
        say(f'Broken plugin "{problem["plugin"]}": {problem["reason"]}')
        say(f"  at {problem['file']}")
    if not problems:
        say("Every plugin could be loaded.")


def versions() -> list[tuple[str, str]]:
    """Versions of Python and of the packages that matter."""
    import torch

    rows = [("surfhead", __version__), ("python", f"{platform.python_version()}, {platform.platform()}")]
    for name in PACKAGES:
        try:
            # PyTorch's own word says which build it is, its package's may not
            rows.append((name, str(torch.__version__) if name == "torch" else metadata.version(name)))
        except metadata.PackageNotFoundError:
            rows.append((name, "not installed"))
    return rows


def devices() -> list[tuple[str, str]]:
    """The processor and the GPUs PyTorch sees."""
    import torch

    rows = [("processor", f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads")]
    if not torch.cuda.is_available():
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
        return [*rows, ("GPU", f"none that PyTorch can use ({built})")]
    for index in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(index)
        rows.append((f"cuda:{index}", f"{found.name}, {found.total_memory / 2**30:.0f} GiB"))
    return rows


def kernels() -> list[tuple[str, str]]:
    """What the native kernels say of themselves."""
    from surfhead.kernels import report

    return list(report().items())


def rasterizers() -> list[tuple[str, str]]:
    """Which rasterizers can run, on what, and why the others cannot."""
    from surfhead.core.errors import SurfheadError
    from surfhead.core.registry import registry

    rows = []
    for name in registry().names("rasterizer"):
        try:
            cls: Any = registry().get("rasterizer", name)
            reason = cls.available()
        except SurfheadError as error:
            reason = error.what
        except Exception as error:  # a stranger's class may raise anything
            reason = f"{type(error).__name__}: {error}"
        if reason is None:
            reason = "available on " + ", ".join(d for d in ("cpu", "cuda") if cls.supports(d))
        rows.append((f"rasterizer {name}", reason))
    return rows


def folders() -> list[tuple[str, str]]:
    """Where things are kept that can be made again, and the plugins the environment names."""
    from surfhead.core.cache import VARIABLE, cache_folder

    folder, size = cache_folder(), 0
    with contextlib.suppress(OSError):  # no folder can have this name, or another process tidies it up
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    files = os.environ.get("SURFHEAD_PLUGINS") or "none (they would be in $SURFHEAD_PLUGINS)"
    return [
        ("cache folder", f"{folder}, {size_text(size)} (${VARIABLE} moves it)"),
        ("plugin files", files),
    ]

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
BUILT_IN = "built-in"


def doctor(plugin: ReportedPlugins = None, debug: Debug = -1) -> None:
    """Report versions, devices, plugins, what cannot run and why, files that are needed, caches."""
    from surfhead.terminal.listing import Listing

    table = Listing(["", ""])
    for section in watched(SECTIONS, "Looking around", len(SECTIONS)):
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


def plugins() -> list[tuple[str, str]]:
    """Packages and files that are not built in, with what each brings; and the one that films need."""
    from surfhead.core.registry import registry
    from surfhead.data.films import INSTALL, PACKAGE, READER

    brought: dict[str, list[str]] = {}
    for found in registry().registrations():
        if found.source.origin != BUILT_IN:
            label = f"plugin {found.source.label} {found.source.version}".rstrip()
            brought.setdefault(label, []).append(f"{found.kind} {found.name}")
    rows = [(label, ", ".join(names)) for label, names in brought.items()]
    broken_ones = {problem.source.label for problem in registry().problems}  # which are told below
    if READER not in registry().names("dataset") and PACKAGE not in broken_ones:
        rows.append((f"plugin {PACKAGE}", f"not installed; it reads films. {INSTALL}"))
    return rows


def components() -> list[tuple[str, str]]:
    """All rasterizers, what others bring and what cannot run here, why not, and what each says of itself."""
    from surfhead.core.errors import SurfheadError
    from surfhead.core.registry import registry

    rows = []
    told = dict.fromkeys((found.kind, found.name) for found in registry().registrations())
    foreign = {(f.kind, f.name) for f in registry().registrations() if f.source.origin != BUILT_IN}
    for kind, name in told:
        reason: str | None = None
        lines: dict[str, str] = {}
        try:
            cls: Any = registry().get(kind, name)
            reason = cls.available()
            state, lines = reason or _available(cls), dict(cls.report())
        except SurfheadError as error:
            reason = state = error.what
        except Exception as error:  # a stranger's class may raise anything
            reason = state = f"{type(error).__name__}: {error}"
        if reason is not None or kind == "rasterizer" or (kind, name) in foreign or lines:
            rows.append((f"{kind} {name}", state))
        rows += [(f"{name}: {label}", str(text)) for label, text in lines.items()]
    return rows


def _available(cls: Any) -> str:
    """``available``, and of a rasterizer on which devices."""
    if cls.kind != "rasterizer":
        return "available"
    return "available on " + ", ".join(device for device in ("cpu", "cuda") if cls.supports(device))


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


SECTIONS = (versions, devices, kernels, plugins, components, folders)

"""Riggable head avatars from 2D Gaussian surfels bound to a head model's triangles."""

from __future__ import annotations

import importlib
import os
from typing import Any

__version__ = "0.2.0"
# PyTorch and the native kernels bring an OpenMP runtime each. Threads of the one that wait by spinning take
# the cores from the other's: steps were 5 to 20 times slower. Read by runtimes that load after this line.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Imported when first asked for, so that `import surfhead` needs no torch; type checkers read __init__.pyi.
_HOME = {
    "Avatar": "avatars.avatar:Avatar",
    "Cameras": "core.types:Cameras",
    "Evaluation": "measuring.evaluation:Evaluation",
    "Rendering": "avatars.rendering:Rendering",
    "Run": "runs.run:Run",
    "SurfheadError": "core.errors:SurfheadError",
    "WorldSurfels": "core.types:WorldSurfels",
    "evaluate": "runs.measure:evaluate_run",
    "load_avatar": "runs.run:load_avatar",
    "open_run": "runs.run:open_run",
    "orbit": "drawing.camera_path:orbit",
    "rasterize": "drawing.rasterize:rasterize",
    "spiral": "drawing.camera_path:spiral",
    "train": "runs.train:train",
}
__all__ = ["__version__", *_HOME]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if not name.startswith("_"):
        from surfhead.terminal.renamed import OF_PACKAGE, present

        name = present(__name__, name, OF_PACKAGE)
    if name in _HOME:
        module, _, attribute = _HOME[name].partition(":")
        return getattr(importlib.import_module(f"surfhead.{module}"), attribute)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})

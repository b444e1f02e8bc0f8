"""Riggable head avatars from 2D Gaussian surfels bound to a head model's triangles."""

from __future__ import annotations

import importlib
import os
from typing import Any

__version__ = "0.1.0"
# PyTorch and the native kernels bring an OpenMP runtime each. Threads of the one that wait by spinning take
# the cores from the other's: steps were 5 to 20 times slower. Read by runtimes that load after this line.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
__all__ = ["__version__", "load_avatar", "orbit", "rasterize", "train"]

_HOME = {
    "load_avatar": "surfhead.runs.run",
    "orbit": "surfhead.drawing.camera_path",
    "rasterize": "surfhead.drawing.rasterize",
    "train": "surfhead.runs.train",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

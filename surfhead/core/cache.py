"""Where things are kept that can be made again: frames of the built-in data, compiled kernels."""

from __future__ import annotations

import os
import sys
from pathlib import Path

VARIABLE = "SURFHEAD_CACHE"


def cache_folder() -> Path:
    """``$SURFHEAD_CACHE``, else ``surfhead`` in the user's cache folder; it need not exist yet."""
    if chosen := os.environ.get(VARIABLE):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "surfhead"

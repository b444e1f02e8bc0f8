"""Where things are kept that can be made again: frames of the built-in data, compiled kernels."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from surfhead.core.errors import OptionError

VARIABLE = "SURFHEAD_CACHE"


def cache_folder() -> Path:
    """``$SURFHEAD_CACHE``, else ``surfhead`` in the user's cache folder; it need not exist yet."""
    windows = sys.platform == "win32"
    name, usual = ("LOCALAPPDATA", "AppData/Local") if windows else ("XDG_CACHE_HOME", ".cache")
    try:
        if chosen := os.environ.get(VARIABLE):
            return Path(chosen).expanduser()
        return Path(os.environ.get(name) or Path.home() / usual) / "surfhead"
    except RuntimeError as error:  # a home of nobody
        raise OptionError("No folder for caches is known.", f"{error}", f"Set ${VARIABLE} to one.") from error

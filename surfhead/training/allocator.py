"""Memory of the C library on a CPU: what a step frees is kept for the next step.

By default glibc gives large blocks back to the system when they are freed. A step frees and takes the same
megabytes again and again, and the system fills every page with zeros anew each time it is first touched.
"""

from __future__ import annotations

import ctypes
import os
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of glibc's <malloc.h>
KEPT = 1 << 28  # bytes that may lie free at the heap's end
BLOCK = 1 << 25  # bytes; larger blocks are given back as before
OWN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD")


def keep_freed_memory() -> bool:
    """Ask glibc, for the whole process, to keep what is freed; gives whether it will.

    Nothing is changed with another C library, or where one of the environment variables ``OWN`` says that the
    user has set the allocator up.
    """
    if not sys.platform.startswith("linux") or any(name in os.environ for name in OWN):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    return bool(library.mallopt(MMAP_THRESHOLD, BLOCK) and library.mallopt(TRIM_THRESHOLD, KEPT))

"""Files on their way from a page: bounded while they arrive, not only when they are there."""

from __future__ import annotations

import logging
from typing import Any

from surfhead.viewing.uploads import LARGEST

log = logging.getLogger("surfhead")
AT_ONCE = 2  # files of one page


class Arriving(dict[str, dict[str, Any]]):
    """Viser's files in transfer: too large a one is not begun, one too many ends the oldest."""

    def __setitem__(self, key: str, state: dict[str, Any]) -> None:
        size, count = state["total_bytes"], state["part_count"]
        if not (
            isinstance(size, int) and 0 <= size <= LARGEST and isinstance(count, int) and count <= size + 1
        ):
            log.warning("A page offered a file of %s bytes, which is not taken.", size)
            return
        while len(self) >= AT_ONCE:
            del self[next(iter(self))]
        super().__setitem__(key, {**state, "parts": _Parts(size)})


class _Parts(dict[int, bytes]):
    """Parts of a file that are no more than it was said to have; viser drops a file that lacks bytes."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.left = size

    def __setitem__(self, index: int, content: bytes) -> None:
        self.left -= len(content)
        super().__setitem__(index, content if self.left >= 0 else b"")


def bound(gui: Any) -> None:
    """Bound what one page sends; where viser keeps it elsewhere, only what has arrived is checked."""
    if isinstance(getattr(gui, "_current_file_upload_states", None), dict):
        gui._current_file_upload_states = Arriving()


def let_go(handle: Any) -> None:
    """Free a file that was used."""
    inner = getattr(handle, "_impl", None)
    if inner is not None and hasattr(inner, "value"):
        inner.value = None

"""How the line that says what is waited for goes; a module of its own, as it must not wait for Rich."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar


class _Waited:
    """What takes the line away; at most one line is shown at a time."""

    hide: ClassVar[Callable[[], None] | None] = None


def until_waited(hide: Callable[[], None]) -> None:
    """Remember what takes the line away that is shown now."""
    _Waited.hide = hide


def end_waiting() -> None:
    """Take the line away that says what is waited for, if there is one."""
    hide, _Waited.hide = _Waited.hide, None
    if hide is not None:
        hide()

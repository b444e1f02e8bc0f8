"""Connects the controls of a page with what they do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from surfhead.core.errors import SurfheadError

if TYPE_CHECKING:
    from surfhead.core.viewing.visitor import Visitor


def when_changed(visitor: Visitor, handle: Any, act: Callable[[Any], None]) -> None:
    """Call ``act(value)`` for every value a person gives, in order; it must be quick."""

    @handle.on_update
    async def _(event: Any) -> None:
        if event.client is not None:  # not for values the server sets itself
            _guarded(visitor, lambda: act(event.target.value))


def when_clicked(visitor: Visitor, handle: Any, act: Callable[[], None]) -> None:
    """Call ``act()`` for every click, in a thread of its own; it may take long."""

    @handle.on_click
    def _(_event: Any) -> None:
        _guarded(visitor, act)


def when_uploaded(visitor: Visitor, handle: Any, act: Callable[[str, bytes], None]) -> None:
    """Call ``act(name, content)`` for every file that is sent, in a thread of its own."""

    @handle.on_upload
    def _(event: Any) -> None:
        file = event.target.value
        _guarded(visitor, lambda: act(str(file.name), bytes(file.content)))


def _guarded(visitor: Visitor, act: Callable[[], None]) -> None:
    """Show a person's mistake to the person."""
    try:
        act()
    except SurfheadError as error:
        visitor.say(error)

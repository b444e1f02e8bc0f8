"""Connects the controls of a page with what they do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from surfhead.core.errors import SurfheadError

if TYPE_CHECKING:
    from surfhead.viewing.exhibit import Guest


def when_changed(visitor: Guest, handle: Any, act: Callable[[Any], object]) -> None:
    """Call ``act(value)`` for every value a person gives, in order; it must be quick."""

    async def changed(event: Any) -> None:
        if event.client is not None:  # not for values the server sets itself
            _guarded(visitor, lambda: act(event.target.value))

    handle.on_update(changed)


def when_clicked(visitor: Guest, handle: Any, act: Callable[[], object]) -> None:
    """Call ``act()`` for every click, in a thread of its own; it may take long."""

    handle.on_click(lambda _event: _guarded(visitor, act))


def when_uploaded(visitor: Guest, handle: Any, act: Callable[[str, bytes], object]) -> None:
    """Call ``act(name, content)`` for every file that is sent, in a thread of its own."""

    def uploaded(event: Any) -> None:
        file = event.target.value
        _guarded(visitor, lambda: act(str(file.name), bytes(file.content)))

    handle.on_upload(uploaded)


def _guarded(visitor: Guest, act: Callable[[], object]) -> None:
    """Show a person's mistake to the person."""
    try:
        act()
    except SurfheadError as error:
        visitor.say(error)

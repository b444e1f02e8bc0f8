"""Connects the controls of a page with what they do."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from surfhead.core.errors import SurfheadError
from surfhead.viewing.arriving import let_go
from surfhead.viewing.heard import permitted
from surfhead.viewing.viewpoint import Vector

if TYPE_CHECKING:
    from surfhead.viewing.exhibit import Guest

log = logging.getLogger("surfhead")


def when_changed(visitor: Guest, handle: Any, act: Callable[[Any], object]) -> None:
    """Call ``act(value)`` for every value a person gives, in order; it must be quick."""

    async def changed(event: Any) -> None:
        if event.client is not None:  # not for values the server sets itself
            given = permitted(handle, event.target.value)
            if given is not None:
                _guarded(visitor, lambda: act(given))

    handle.on_update(changed)


def when_clicked(visitor: Guest, handle: Any, act: Callable[[], object]) -> None:
    """Call ``act()`` for every click, in a thread of its own; it may take long."""

    handle.on_click(lambda _event: _in_turn(visitor, act))


def when_uploaded(visitor: Guest, handle: Any, act: Callable[[str, bytes], object]) -> None:
    """Call ``act(name, content)`` for every file that is sent, in a thread of its own."""

    def uploaded(event: Any) -> None:
        file = event.target.value
        let_go(event.target)
        if file is not None:
            _in_turn(visitor, lambda: act(str(file.name), bytes(file.content)))

    handle.on_upload(uploaded)


def when_picked(visitor: Guest, act: Callable[[Vector, Vector], object]) -> Callable[[], None]:
    """Call ``act(origin, direction)`` of the ray below every click into the picture; gives what ends this."""
    scene = visitor.handle.scene

    def pointed(event: Any) -> None:
        numbers = [float(value) for value in (*event.ray_origin, *event.ray_direction)]
        if len(numbers) == 6 and all(map(math.isfinite, numbers)):
            x, y, z, a, b, c = numbers
            _in_turn(visitor, lambda: act((x, y, z), (a, b, c)))

    scene.on_click()(pointed)
    return lambda: scene.remove_click_callback(pointed)


def when_pressed(visitor: Guest, label: str, key: str, act: Callable[[], object]) -> None:
    """Call ``act()`` when a key is pressed in the page, or its command is chosen: Ctrl-K lists them."""
    gui = visitor.handle.gui
    if hasattr(gui, "add_command"):  # since viser 1.0.20
        gui.add_command(label, hotkey=key).on_trigger(lambda _event: _in_turn(visitor, act))


def when_pointed(visitor: Guest, act: Callable[[float, float], object]) -> None:
    """Call ``act(x, y)`` for every click: shares of width and height from the upper left corner."""

    def pointed(event: Any) -> None:
        x, y = event.screen_pos
        if math.isfinite(x) and math.isfinite(y):
            _in_turn(visitor, lambda: act(float(x), float(y)))

    visitor.handle.scene.on_click()(pointed)


def _guarded(visitor: Guest, act: Callable[[], object]) -> None:
    """Show a person's mistake to the person."""
    try:
        act()
    except SurfheadError as error:
        visitor.say(error)
    except Exception as error:  # a page may send what no control of ours does
        log.warning("A control of the viewer failed: %s", error, exc_info=True)
        visitor.say(f"That did not work: {type(error).__name__}.")


def _in_turn(visitor: Guest, act: Callable[[], object]) -> None:
    """Act in this thread, unless the same page already has several acts in hand: all pages share threads."""
    if not visitor.hands.acquire(blocking=False):
        visitor.say("Still busy with what you asked for before.")
        return
    try:
        _guarded(visitor, act)
    finally:
        visitor.hands.release()

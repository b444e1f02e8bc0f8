"""What of a page's messages is heard: only the kinds that the page needs, with values that controls may have.

The browser's own controls keep to it; whoever speaks to the server without them need not. Viser would let a
message set any attribute of a control, and pass some kinds on to everybody else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

log = logging.getLogger("surfhead")
KINDS = {  # names of viser's messages from a page
    "ViewerCameraMessage",
    "GuiUpdateMessage",
    "FileTransferStartUpload",
    "FileTransferPart",
    "CommandTriggerMessage",
    "ScenePointerMessage",
    "SceneNodeClickMessage",
}
FAR = 1e6  # of a coordinate: more is no place to look at


def permitted(handle: Any, value: Any) -> Any:
    """A control's value as declared: clamped to its range, None for what it cannot have."""
    choices = getattr(handle, "options", None)
    if choices is not None:
        return value if value in tuple(choices) else None
    low, high = getattr(handle, "min", None), getattr(handle, "max", None)
    if isinstance(low, (int, float)) and isinstance(high, (int, float)):
        if not _number(value):
            return None
        return min(max(value, low), high)
    before = getattr(handle, "value", None)
    if isinstance(before, bool):
        return value if isinstance(value, bool) else None
    if isinstance(before, tuple):
        whole = isinstance(value, (list, tuple)) and len(value) == len(before) and all(map(_number, value))
        return tuple(min(max(number, -FAR), FAR) for number in value) if whole else None
    return value


def _number(value: Any) -> bool:
    plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    return plain and abs(value) < 1e300  # also no NaN; an int may be too large for a float


def only_known_kinds(interface: Any) -> None:
    """Let a connection, or the server, hear nothing but ``KINDS``."""
    handlers = getattr(interface, "_incoming_handlers", None)
    if isinstance(handlers, dict):  # where viser keeps them elsewhere, controls check their values themselves
        for kind in [kind for kind in handlers if kind.__name__ not in KINDS]:
            del handlers[kind]


def only_values(gui: Any) -> None:
    """Let a page change nothing of its controls but their values, to what they may have."""
    interface = getattr(gui, "_websock_interface", None)
    only_known_kinds(interface)
    handlers = getattr(interface, "_incoming_handlers", None)
    controls = getattr(gui, "_gui_input_handle_from_uuid", None)
    if isinstance(handlers, dict) and isinstance(controls, dict):
        for kind, known in handlers.items():
            if kind.__name__ == "GuiUpdateMessage":
                known[:] = [_with_values(handler, controls) for handler in known]


def _with_values(handler: Callable[..., Any], controls: dict[Any, Any]) -> Callable[..., Any]:
    """Viser's handler of updates, behind a check of what they hold."""

    async def heard(client_id: Any, message: Any) -> None:
        updates = message.updates
        try:
            handle = controls[message.uuid]
            value = permitted(handle, updates["value"]) if set(updates) == {"value"} else None
            if value is not None:
                message.updates = {"value": value}
                await handler(client_id, message)
        except Exception as error:  # of a control that is gone, or of another kind than any
            log.debug("A message to a control is not understood: %s", error)

    return heard

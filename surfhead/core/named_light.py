"""A light by its name."""

from __future__ import annotations

from surfhead.core.errors import unknown_name
from surfhead.maths.lamps import LAMPS, Lamps


def named_light(name: str) -> Lamps:
    """The named light. Raises UnknownNameError."""
    if name not in LAMPS:
        raise unknown_name("light", name, LAMPS, "Choose one of these with --light.")
    return LAMPS[name]

"""Numbers of the command line that would never end, or take all memory, are refused before the work."""

from __future__ import annotations

import math

from surfhead.core.errors import OptionError

LIMITS: dict[str, tuple[float, float]] = {
    "frames": (0, 1_000_000),
    "size": (0, 16384),
    "width": (0, 16384),
    "height": (0, 16384),
    "fps": (0.0, 1000.0),
    "turn": (-36000.0, 36000.0),
    "elevation": (-360.0, 360.0),
    "views": (0, 100_000),
    "sheet": (0, 10_000),
}


def check_numbers(**given: float | None) -> None:
    """Raise OptionError for a number out of any sense; None was not given."""
    for name, value in given.items():
        low, high = LIMITS[name]
        if value is not None and not (math.isfinite(value) and low <= value <= high):
            raise OptionError(f'"{name}" is {value}.', f"Expected {low:g} to {high:g}.", f"Mend --{name}.")

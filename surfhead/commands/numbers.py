"""Numbers of the command line that would never end, or take all memory, are refused before the work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

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
    "worst": (0, 10_000),
}
SENSE: dict[str, tuple[float, float]] = {  # what else has bounds of its own where it is used
    "smooth": (-1e4, 1e4),  # steps, or timesteps
    "seeds": (-1e4, 1e4),
    "jobs": (-1e3, 1e3),
    "threads": (-1e3, 1e3),
    "triangles": (-1e9, 1e9),
    "limit": (-1e9, 1e9),
    "debug": (-1, 1e12),
    "iterations": (-1e12, 1e12),
    "seed": (-(2.0**64), 2.0**64),
}
OTHERS = (-1e6, 1e6)


def check_numbers(**given: float | None) -> None:
    """Raise OptionError for a number out of any sense; None was not given."""
    for name, value in given.items():
        if value is not None:
            check_number(name, value, f"--{name}", *LIMITS[name])


def check_number(name: str, value: float, flag: str, low: float, high: float) -> None:
    """Raise OptionError where a number is not finite, or outside its bounds."""
    if not (low <= value <= high):  # whole numbers may be too large for a float, which comparing is not
        shown = str(value) if isinstance(value, float) or abs(value) < 10**30 else "too large"
        raise OptionError(f'"{name}" is {shown}.', f"Expected {low:g} to {high:g}.", f"Mend {flag}.")


def check_given(parameters: Iterable[Any], values: Mapping[str, Any]) -> None:
    """Look at every number that a command was given, before it begins.

    Args:
        parameters: of the command, as Click knows them.
        values: name -> what was given, or the default.

    Raises:
        OptionError: one is NaN, infinite, or so large that the work would never end.
    """
    for parameter in parameters:
        value = values.get(parameter.name)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            low, high = LIMITS.get(parameter.name) or SENSE.get(parameter.name) or OTHERS
            check_number(parameter.name, value, parameter.opts[0], low, high)

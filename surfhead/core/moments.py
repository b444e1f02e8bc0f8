"""When something happens in a run: as an image count, or as a fraction of the run's length.

An integer is a count of images, whatever the run's length. A number with a decimal point from 0.0 to 1.0 is
a fraction of the run. An option declared with ``option(5000, "...", of=300_000)`` that nobody sets scales:
it is 5000 images of a run of 300,000 and 500 of a run of 30,000.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from surfhead.core.errors import OptionError

if TYPE_CHECKING:
    from surfhead.core.component import Component


def in_images(value: int | float, length: int, name: str, least: int = 1) -> int:
    """A moment as an image count; a fraction above 0 is at least ``least`` images.

    Args:
        value: a count (int), or a fraction of the run (float from 0 to 1).
        length: images of the whole run.
        name: how errors call it.
        least: what makes no sense more often, whatever the run's length.

    Raises:
        OptionError: a float that is neither a fraction nor a whole number.
    """
    if isinstance(value, int):
        return value
    if 0.0 <= value <= 1.0:
        return max(round(value * length), least) if value > 0.0 else 0
    if math.isfinite(value) and value == int(value):
        return int(value)
    raise OptionError(
        f'"{name}" is {value}.',
        "Expected a whole number of images, or a fraction of the run from 0.0 to 1.0.",
        f"For example: --set {name}=5000, or --set {name}=0.1",
    )


def options_in_images(cls: type[Component], options: Mapping[str, Any], length: int) -> dict[str, Any]:
    """A component's options with every moment as an image count of a run of ``length`` images."""
    found = dict(options)
    for field in dataclasses.fields(cls.Options):
        if (whole := field.metadata.get("of")) is None:
            continue
        value = options.get(field.name)
        if value is None:
            published: Any = field.default
            value = published / whole if published else 0
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            least = field.metadata.get("least", 1)
            found[field.name] = in_images(value, length, f"{cls.kind}.{field.name}", least)
    return found

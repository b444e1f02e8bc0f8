"""The parts a run's configuration is made of: choices of components, terms of the loss, rates, occasions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from surfhead.core.errors import OptionError
from surfhead.core.moments import in_images


@dataclass(frozen=True)
class Choice:
    """A component by name, with the options that differ from its defaults."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


LARGEST = 1e12  # of rates, weights and image counts


def _check(**values: float | None) -> None:
    """Raise OptionError for what is negative, NaN or beyond any sense; None was not given."""
    for name, value in values.items():
        if value is not None and not 0 <= value <= LARGEST:
            raise OptionError(
                f'"{name}" is {value}.', f"Expected 0 to {LARGEST:g}.", "Mend it with --set or in the file."
            )


@dataclass(frozen=True)
class Term:
    """A regularizer's share in the loss.

    Attributes:
        weight: factor; 0 leaves the term out; None means the published weight.
        start: images, or fraction of the run, at which it starts; None: the published fraction.
        ramp: images, or fraction of the run, over which the weight rises linearly from 0.
        optional: leave it out, with a warning, where the data lack what it needs, such as masks.
        options: the regularizer's own options.
    """

    weight: float | None = None
    start: int | float | None = None
    ramp: int | float = 0
    optional: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(weight=self.weight, start=self.start, ramp=self.ramp)


@dataclass(frozen=True)
class Occasions:
    """When something happens: every so many images, and at listed image counts.

    Attributes:
        every: images, or a fraction of the run; 0 means only at the listed counts (and at the end).
        at: image counts.
        limit: at most this many views a split, spread evenly; 0 means all (evaluation only).
        final: the same at the end of the run (evaluation only).
    """

    every: int | float = 0
    at: tuple[int, ...] = ()
    limit: int = 0
    final: int = 0

    def __post_init__(self) -> None:
        _check(every=self.every, limit=self.limit, final=self.final)

    def within(self, length: int) -> Self:
        """The same occasions in image counts of a run of ``length`` images."""
        return replace(self, every=in_images(self.every, length, "every"))

    def due(self, before: int, after: int) -> bool:
        """Whether an occasion lies in (before, after]."""
        if self.every > 0 and after // self.every > before // self.every:
            return True
        return any(before < moment <= after for moment in self.at)


@dataclass(frozen=True)
class Exports(Occasions):
    """When the avatar is written during training; where anything is asked for, at the end, too.

    Attributes:
        format: registered name of a format that writes avatars.
    """

    format: str = "surfhead"

    @property
    def wanted(self) -> bool:
        """Whether anything is written at all."""
        return self.every > 0 or bool(self.at)


@dataclass(frozen=True)
class Rate:
    """Overrides of a rate's schedule (steps: images, or fractions of the run); None: as declared.

    An ``optional`` one, such as a preset's, is let go where no component has such a group.
    """

    initial: float | None = None
    final: float | None = None
    delay: float | None = None
    delay_steps: int | float | None = None
    steps: int | float | None = None
    optional: bool = False

    def __post_init__(self) -> None:
        _check(**vars(self))


@dataclass(frozen=True)
class Freeze:
    """Regions whose surfels keep their place and orientation on the mesh."""

    eyeballs: bool = True
    boundary: bool = False
    teeth: bool = False

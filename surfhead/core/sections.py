"""The parts a run's configuration is made of: choices of components, terms of the loss, rates, occasions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from surfhead.core.moments import in_images
from surfhead.core.options import option


@dataclass(frozen=True)
class Choice:
    """A component by name, with the options that differ from its defaults."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


LARGEST = 1e12  # of rates, weights and image counts


@dataclass(frozen=True)
class Term:
    """A regularizer's share in the loss; times are images, or fractions of the run.

    Attributes:
        optional: leave it out, with a warning, where the data lack what it needs, such as masks.
        options: the regularizer's own options.
    """

    weight: float | None = option(None, "Factor; 0 leaves it out; None: as published.", low=0, high=LARGEST)
    start: int | float | None = option(None, "When it starts; None: as published.", low=0, high=LARGEST)
    ramp: int | float = option(0, "How long its weight rises linearly from 0.", low=0, high=LARGEST)
    optional: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Occasions:
    """When something happens: every so many images, and at listed image counts.

    Attributes:
        at: image counts.
    """

    every: int | float = option(0, "Images, or a fraction of the run; 0: never.", low=0, high=LARGEST)
    at: tuple[int, ...] = ()
    limit: int = option(0, "Views a split in evaluations, spread evenly; 0: all.", low=0, high=LARGEST)
    final: int = option(0, "The same at the end of the run.", low=0, high=LARGEST)

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

    format: str = ""

    @property
    def wanted(self) -> bool:
        """Whether anything is written at all."""
        return self.every > 0 or bool(self.at)


@dataclass(frozen=True)
class Rate:
    """Overrides of a rate's schedule (steps: images, or fractions of the run); None: as declared.

    An ``optional`` one, such as a preset's, is let go where no component has such a group.
    """

    initial: float | None = option(None, "At the start.", low=0, high=LARGEST)
    final: float | None = option(None, "After the steps.", low=0, high=LARGEST)
    delay: float | None = option(None, "Factor at the start, where it is delayed.", low=0, high=LARGEST)
    delay_steps: int | float | None = option(None, "Over which the delay ends.", low=0, high=LARGEST)
    steps: int | float | None = option(None, "Over which it falls.", low=0, high=LARGEST)
    optional: bool = False


@dataclass(frozen=True)
class Freeze:
    """Regions whose surfels keep their place and orientation on the mesh."""

    eyeballs: bool = True
    boundary: bool = False
    teeth: bool = False

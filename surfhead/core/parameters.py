"""Declarations of learnable parameters: shape, start, learning rate, and what densifying does to them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from surfhead.core.errors import OptionError


@dataclass(frozen=True)
class Schedule:
    """A learning rate over the run, counted in images: log-linear from ``initial`` to ``final``.

    Attributes:
        initial: rate at the first image.
        final: rate at the end; None means constant.
        delay: factor on the rate at first, rising to 1 along a quarter sine over ``delay_steps`` images.
        delay_steps: length of that rise, images.
        steps: images over which the rate decays; None means the run's length.
    """

    initial: float
    final: float | None = None
    delay: float = 1.0
    delay_steps: int = 0
    steps: int | None = None

    def __post_init__(self) -> None:
        if self.initial < 0 or (self.final is not None and self.final < 0):
            raise OptionError("A learning rate is negative.", "Expected rates >= 0.", "Mend `rate`.")

    def at(self, images: int, length: int) -> float:
        """The rate after ``images`` images of a run of ``length`` images."""
        if self.initial == 0.0:
            return 0.0
        rise = 1.0
        if self.delay_steps > 0 and self.delay < 1.0:
            phase = min(max(images / self.delay_steps, 0.0), 1.0)
            rise = self.delay + (1.0 - self.delay) * math.sin(0.5 * math.pi * phase)
        if self.final is None or self.final == self.initial:
            return self.initial * rise
        progress = min(max(images / max(self.steps or length, 1), 0.0), 1.0)
        if self.final == 0.0:
            return self.initial * (1.0 - progress) * rise
        return rise * math.exp(math.log(self.initial) * (1.0 - progress) + math.log(self.final) * progress)


BASE_COLOUR = "base_colour"
NEIGHBOUR_WEIGHTS = "neighbour_weights"


@dataclass(frozen=True)
class Encoding:
    """How a parameter holds what its role means.

    Attributes:
        encode: from values of the role's meaning to raw values of the same shape.
        decode: back again, differentiable.
    """

    encode: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class ParameterSpec:
    """One per-surfel parameter, declared by the core, a deformer or an appearance model.

    The core allocates, optimises, grows, prunes, freezes and saves it.

    Attributes:
        shape: shape per surfel, such as (3,) or (15, 3).
        initial: starting value: a number, a tuple of the per-surfel shape, or a function of
            (count, generator) giving (count, *shape).
        rate: learning rate over the run.
        group: key under ``rate.`` in the configuration by which users change the rate; empty: its own name.
        group_share: this parameter's share of the group's rate when users change it.
        scaled_by_extent: multiply the rate by the scene's extent.
        frozen_regions: regions whose surfels get no gradient on it, always.
        region: the one region whose surfels' values the model uses, so that only they get one; empty: all.
        unseen: what becomes of it where no training view saw the surfel: ``keep``; ``neighbours``: what its
            surroundings on the rest mesh suggest; ``initial``: its start; ``surface``: its third number
            becomes 0, so that an offset lies on its triangle.
        detachable: also frozen on the regions named by ``freeze.*`` (``eyeballs``, ``boundary``, ``teeth``).
        role: what the core may set or read it as: ``base_colour``, the RGB in [0, 1] that a surfel of shape
            (3,) has from everywhere (before light, where the model has light); ``neighbour_weights``,
            the four logits of ``surfhead.core.neighbour_blend``; empty: nothing. A run has at most one
            parameter of a role.
        encoding: how it holds what the role means; None: as it is.
    """

    shape: tuple[int, ...]
    initial: float | tuple[float, ...] | Callable[[int, torch.Generator], Tensor]
    rate: Schedule
    group: str = ""
    scaled_by_extent: bool = False
    frozen_regions: tuple[str, ...] = field(default=())
    detachable: bool = False
    unseen: Literal["keep", "neighbours", "initial", "surface"] = "keep"
    group_share: float = 1.0
    role: str = ""
    encoding: Encoding | None = None
    region: str = ""

    def start(self, count: int, generator: torch.Generator) -> Tensor:
        """(count, *shape) float32 starting values on the CPU."""
        if callable(self.initial):
            return self.initial(count, generator)
        value = torch.as_tensor(self.initial, dtype=torch.float32)
        return value.broadcast_to(count, *self.shape).clone()

    def encoded(self, values: Tensor) -> Tensor:
        """Raw values that mean ``values`` in the parameter's role."""
        return values if self.encoding is None else self.encoding.encode(values)

    def decoded(self, raw: Tensor) -> Tensor:
        """What raw values mean in the parameter's role, differentiable."""
        return raw if self.encoding is None else self.encoding.decode(raw)


def with_role(specs: Mapping[str, ParameterSpec], role: str) -> str | None:
    """The name of the parameter that plays a role; None where none does."""
    return next((name for name, spec in specs.items() if spec.role == role), None)


def base_colour(specs: Mapping[str, ParameterSpec], raw: Mapping[str, Tensor]) -> Tensor | None:
    """(N, 3) RGB of surfels' base colour, differentiable; None where no parameter plays that role."""
    name = with_role(specs, BASE_COLOUR)
    return None if name is None else specs[name].decoded(raw[name])

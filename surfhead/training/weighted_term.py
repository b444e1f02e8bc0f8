"""A term of the loss with its weight over the run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from surfhead.core.components import Regularizer
from surfhead.core.config import RunConfig
from surfhead.core.errors import ContractError, DataError, OptionError, SurfheadError
from surfhead.core.moments import in_images
from surfhead.core.registry import registry
from surfhead.core.types import Step
from surfhead.files.given import made_by

log = logging.getLogger("surfhead")


@dataclass(frozen=True)
class WeightedTerm:
    """A regularizer with its share in the loss; ``start`` and ``ramp`` in images."""

    name: str
    component: Regularizer
    weight: float
    start: int
    ramp: int
    optional: bool = False

    def weight_at(self, images: int) -> float:
        """Its weight after ``images`` images."""
        if images < self.start:
            return 0.0
        if self.ramp <= 0:
            return self.weight
        return self.weight * min(1.0, (images - self.start + 1) / self.ramp)


@dataclass(frozen=True)
class Loss:
    """What the terms of a step gave.

    Attributes:
        total: the weighted sum, a scalar.
        values: name -> weighted value of each term that is on, detached.
        left_out: names of optional terms that the data lack something for.
    """

    total: Tensor
    values: dict[str, Tensor]
    left_out: tuple[str, ...] = ()


def weighted_sum(terms: Sequence[WeightedTerm], step: Step) -> Loss:
    """The weighted sum of the terms that are on after ``step.images`` images.

    Raises:
        ContractError: a term is no scalar.
        DataError: the data lack what a term that is not optional needs.
        SurfheadError: no term is on.
    """
    names, weights, found = [], [], []
    left_out = []
    for term in terms:
        weight = term.weight_at(step.images)
        if weight == 0.0:
            continue
        try:
            value = term.component(step)
        except DataError as error:
            if not term.optional:
                raise
            log.warning('Regularizer "%s" is left out: %s', term.name, error.what)
            left_out.append(term.name)
            continue
        made_by("regularizer", term.name, value, Tensor)
        if value.ndim != 0:
            raise ContractError(
                f'Regularizer "{term.name}" gave shape {tuple(value.shape)}.',
                "Expected a scalar.",
                f"Run `surfhead check regularizer {term.name}` on it.",
            )
        names.append(term.name)
        weights.append(weight)
        found.append(value)
    if not found:
        raise SurfheadError(
            f"No regularizer is on at image {step.images}.",
            "Expected at least one with weight > 0.",
            "For example: --regularizer l1=0.8 --regularizer dssim=0.2",
        )
    total, *weighted = _weigh(weights, *found)
    return Loss(total, dict(zip(names, weighted, strict=True)), tuple(left_out))


class _Weigh(torch.autograd.Function):
    """The weighted sum of scalars, and each with its weight: a few launches, not some for each."""

    @staticmethod
    def forward(ctx: Any, weights: list[float], *values: Tensor) -> tuple[Tensor, ...]:
        ctx.weights = weights
        weighted = torch._foreach_mul(values, weights)
        alike = len({(value.dtype, value.device) for value in weighted}) == 1
        total = torch.stack(weighted).sum() if alike else sum(weighted, start=torch.zeros(()))
        ctx.mark_non_differentiable(*weighted)
        ctx.set_materialize_grads(False)
        return total, *weighted

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        return None, *torch._foreach_mul([gradient] * len(ctx.weights), ctx.weights)


_weigh: Any = _Weigh.apply


def make_terms(config: RunConfig) -> list[WeightedTerm]:
    """The configured regularizers with weights and starts in images."""
    terms = []
    for name, row in config.regularizers.items():
        cls: Any = registry().get("regularizer", name)
        weight = cls.weight if row.weight is None else row.weight
        start = in_images(
            float(cls.start) if row.start is None else row.start,
            config.iterations,
            f"regularizers.{name}.start",
        )
        ramp = in_images(row.ramp, config.iterations, f"regularizers.{name}.ramp")
        if weight < 0:
            raise OptionError(
                f'The weight of regularizer "{name}" is {weight}.', "Expected >= 0.", "Mend --regularizer."
            )
        component = registry().create("regularizer", name, row.options, length=config.iterations)
        terms.append(WeightedTerm(name, component, weight, start, ramp, row.optional))
    return terms

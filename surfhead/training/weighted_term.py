"""A term of the loss with its weight over the run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from surfhead.core.components import Regularizer
from surfhead.core.config import RunConfig
from surfhead.core.errors import OptionError
from surfhead.core.moments import in_images
from surfhead.core.registry import registry


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

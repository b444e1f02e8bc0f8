"""A term of the loss with its weight over the run."""

from __future__ import annotations

from dataclasses import dataclass

from surfhead.core.components import Regularizer


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

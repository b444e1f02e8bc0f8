"""Neighbours' blend weights above a limit: mean over the visible of Σ relu(w - limit), over 3 neighbours.

It keeps surfels loyal to their host triangle. Deformers that blend declare the logits as the per-surfel
parameter ``blend`` (N, 4), the host first; w = sigmoid(logits) divided by their sum. 0 with deformers that do
not blend. Off (weight 0) in the published schedule.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from surfhead.core.api import Regularizer, Step, option
from surfhead.plugins.regularizers.masked_mean import masked_mean


class BlendWeight(Regularizer):
    """Blend weights of neighbours beyond a limit."""

    name = "blend_weight"
    summary = "Neighbours' blend weights above a limit."
    capturable = True

    @dataclass(frozen=True)
    class Options:
        """How much is much."""

        limit: float = option(0.1, "Weight allowed to each neighbour, 0 to 1.", low=0, high=1)

    options: Options

    def __call__(self, step: Step) -> Tensor:
        """The mean excess of weight."""
        logits = step.binding.parameters.get("blend")
        if logits is None:
            return step.surfels.opacity.sum() * 0.0
        activated = torch.sigmoid(logits)
        weights = activated / activated.sum(dim=-1, keepdim=True)
        excess = torch.relu(weights[:, 1:] - self.options.limit).sum(dim=-1)
        return masked_mean(excess, step.seen)

"""Colour error and similarity of a step's pictures, from one pass over them for both terms."""

from __future__ import annotations

from torch import Tensor

from surfhead.core.api import Step
from surfhead.kernels import ops


def picture_losses(step: Step) -> tuple[Tensor, Tensor]:
    """Mean absolute colour error and mean structural similarity, two scalars; ask with ``step.once``."""
    return ops.mean_picture_losses(step.output.rgb, step.batch.image)

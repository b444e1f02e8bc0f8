"""Colour error and similarity of a step's pictures, from one pass of the kernels for both terms."""

from __future__ import annotations

from torch import Tensor

from surfhead import kernels
from surfhead.core.api import Step


def picture_losses(step: Step) -> tuple[Tensor, Tensor] | None:
    """(B,) mean absolute colour error and (B,) structural similarity; ask with ``step.once``.

    None where these kernels cannot run: then compute what you need with ``metrics``.
    """
    rgb = step.output.rgb
    if not kernels.serves(rgb):
        return None
    found: tuple[Tensor, Tensor] = kernels.cuda.picture_losses(rgb, step.batch.image)
    return found

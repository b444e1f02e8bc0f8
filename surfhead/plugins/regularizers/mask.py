"""Rendered alpha against the foreground mask: mean |alpha - mask| over all pixels.

The absolute error takes soft masks as they are, and its gradient neither explodes where alpha is 0 or 1, as
that of the cross entropy does, nor fades. The data set must have masks. Off (weight 0) in the published
schedule, whose pictures are composited on the background instead.
"""

from __future__ import annotations

from torch import Tensor

from surfhead.core.api import DataError, Regularizer, Step


class Mask(Regularizer):
    """Silhouette error."""

    name = "mask"
    summary = "Rendered alpha against the foreground mask."
    capturable = True

    def __call__(self, step: Step) -> Tensor:
        """The mean error of alpha. Raises DataError when a view of the batch has no mask."""
        foreground = step.batch.foreground
        if foreground is None:
            views = ", ".join(step.batch.names) or "the batch"
            raise DataError(
                f'Regularizer "mask" needs foreground masks, but "{views}" has none.',
                "Expected a mask for every training view.",
                "Add masks to the data set, or leave the term out: --regularizer mask=0",
            )
        return (step.output.alpha - foreground).abs().mean()

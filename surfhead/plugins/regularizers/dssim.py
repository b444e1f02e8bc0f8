"""One minus the mean structural similarity (Wang et al. 2004; weight from 3DGS, section 5).

11x11 Gaussian window of sigma 1.5 pixels, zero padding: the metric that evaluation reports.
"""

from __future__ import annotations

from torch import Tensor

from surfhead.core.api import Regularizer, Step
from surfhead.plugins.regularizers.picture_losses import picture_losses


class Dssim(Regularizer):
    """One minus the structural similarity."""

    name = "dssim"
    summary = "One minus the structural similarity."
    capturable = True
    weight = 0.2

    def __call__(self, step: Step) -> Tensor:
        """The dissimilarity, in [0, 2]."""
        return 1.0 - step.once(picture_losses)[1]

"""Mean absolute colour error: mean |rendered - truth| over all pixels and channels (3DGS, section 5).

The published loss is 0.8 of it plus 0.2 of ``dssim``.
"""

from __future__ import annotations

from torch import Tensor

from surfhead.core.api import Regularizer, Step
from surfhead.plugins.regularizers.picture_losses import picture_losses


class L1(Regularizer):
    """Mean absolute colour error."""

    name = "l1"
    summary = "Mean absolute colour error."
    capturable = True
    weight = 0.8

    def __call__(self, step: Step) -> Tensor:
        """The error in [0, 1] units of colour."""
        return step.once(picture_losses)[0]

"""Size of the per-frame vertex offsets: their mean length over poses and vertices, in metres.

For rigs with the parameter ``dynamic_offset`` (FLAME sequences tracked by VHAP); 0 for others. Off (weight 0)
in the published schedule.
"""

from __future__ import annotations

import torch
from torch import Tensor

from surfhead.core.api import Regularizer, Step
from surfhead.plugins.regularizers.vertex_offsets import vertex_offsets


class DynamicOffset(Regularizer):
    """Mean length of the vertex offsets."""

    name = "dynamic_offset"
    summary = "Size of the per-frame vertex offsets."
    capturable = True

    def __call__(self, step: Step) -> Tensor:
        """The mean length, metres."""
        offsets = vertex_offsets(step)
        if offsets is None:
            return step.surfels.opacity.sum() * 0.0
        lengths: Tensor = torch.linalg.vector_norm(offsets, dim=-1)
        return lengths.mean()

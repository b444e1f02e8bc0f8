"""Means over a part of a tensor without boolean indexing, which would wait for a GPU."""

from __future__ import annotations

from torch import Tensor


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of ``values`` weighted by ``mask`` (bool or in [0, 1], same shape); 0 where the mask is empty."""
    weight = mask.to(values.dtype)
    return (values * weight).sum() / weight.sum().clamp_min(1.0)

"""A look for numbers that are not finite."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def finite(tensors: Sequence[Tensor | None], device: torch.device) -> Tensor:
    """(K,) bool on ``device``: whether all numbers of each tensor are finite, as those of nothing are."""
    if device.type == "cpu":
        from surfhead.kernels import cpu_parameters

        held = [torch.empty(0) if tensor is None else tensor.detach() for tensor in tensors]
        if held and all(cpu_parameters.serves(tensor) for tensor in held):
            return cpu_parameters.finite(held)
    # an extreme is NaN or infinite where any element is; `isfinite` itself makes four tensors as large
    extremes = [
        torch.stack(torch.aminmax(tensor.detach()))
        if tensor is not None and tensor.numel()
        else torch.zeros(2, device=device)
        for tensor in tensors
    ]
    return torch.isfinite(torch.stack(extremes)).all(1)

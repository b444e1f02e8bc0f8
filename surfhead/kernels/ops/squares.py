"""Weighted sums of squared distances over all numbers of a parameter."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def weighted_squares(value: Tensor, goal: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
    """The sum of w (value - goal)², a scalar; only the value learns.

    Args:
        value: (N, D).
        goal: (N, D), (1, D), (1, 1) or None for 0; a constant.
        weight: (N,) w, or None for 1; a constant.
    """
    if not value.is_cuda:
        from surfhead.kernels import cpu_parameters

        if cpu_parameters.serves(value) and len(value) > 1:
            wide = None if goal is None else goal.expand(-1, value.shape[1])
            found: Tensor = cpu_parameters.squares(value, wide, weight)
            return found
    if goal is None and weight is None:
        return torch.nn.functional.mse_loss(value, value.new_zeros(()).expand_as(value), reduction="sum")
    pulled: Tensor = _pull(
        value,
        value.new_zeros(()) if goal is None else goal,
        value.new_ones(()) if weight is None else weight[:, None],
    )
    return pulled


class _Pull(torch.autograd.Function):
    """The sum of weighted squared distances; its gradient is one pass over what the forward kept."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, goal: Tensor, weight: Tensor) -> Tensor:
        distance = value - goal
        pull = distance * weight
        ctx.save_for_backward(pull)
        return (distance * pull).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (pull,) = ctx.saved_tensors
        return pull * (2.0 * gradient), None, None


_pull: Any = _Pull.apply

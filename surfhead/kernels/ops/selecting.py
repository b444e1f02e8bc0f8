"""Rows of a tensor that is also used as a whole."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from surfhead import kernels
from surfhead.kernels.choices import chosen
from surfhead.maths import launches


class _Beside(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, axis: int, index: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(index)
        ctx.axis, ctx.shape = axis, values.shape
        ctx.set_materialize_grads(False)
        return values.view_as(values), values.index_select(axis, index)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, whole: Tensor | None, some: Tensor | None) -> tuple[Tensor | None, None, None]:
        if some is not None:
            (index,) = ctx.saved_tensors
            sums = some.new_zeros(ctx.shape) if whole is None else whole
            whole = sums.index_add_(ctx.axis, index, some)  # a kernel made it, and nobody else has it
        return whole, None, None


def selected_beside(values: Tensor, axis: int, index: Tensor) -> tuple[Tensor, Tensor]:
    """``values`` for one kernel that takes all of them, and ``values.index_select(axis, index)``.

    Where kernels serve, the rows' gradient is added to what that kernel gives, in place, instead of to zeros.

    Args:
        values: what is selected from. That kernel must be the only one to take what comes back in its place.
        axis: along which.
        index: (M,) int64.
    """
    if values.requires_grad and torch.is_grad_enabled() and kernels.serves(values) and chosen("sums"):
        found: Any = _Beside.apply(values, axis, index)  # type: ignore[no-untyped-call]
        return found[0], found[1]
    return values, launches.index_select(values, axis, index)

"""Operations of PyTorch with fewer launches in their gradients, for steps on a GPU that are all launches.

Values and gradients are those of the plain operations, bit for bit, but that gradients also pass what is cut
off at 0 where it is NaN, or subnormal and below 0. No second derivatives.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class _Taken(torch.autograd.Function):
    """``index_select``, or ``gather`` where every element has an index of its own.

    PyTorch's own gradient of a selection fills zeros, copies them and adds to the copy.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, axis: int, index: Tensor, each: bool) -> Tensor:
        ctx.save_for_backward(index)
        ctx.axis, ctx.shape, ctx.each = axis, values.shape, each
        return values.gather(axis, index) if each else values.index_select(axis, index)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (index,) = ctx.saved_tensors
        sums = gradient.new_zeros(ctx.shape)
        add = sums.scatter_add_ if ctx.each else sums.index_add_
        return add(ctx.axis, index, gradient), None, None, None


class _AboveZero(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, mean: bool) -> Tensor:
        ctx.save_for_backward(values)
        ctx.mean = mean
        above = values.clamp_min(0.0)
        return above.mean() if mean else above

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (values,) = ctx.saved_tensors
        if ctx.mean:
            gradient = (gradient / values.numel()).expand_as(values)
        # one launch; like clamp_min's it passes at 0, which is not beyond the least number below it
        least = -torch.finfo(values.dtype).tiny
        return torch.ops.aten.threshold_backward(gradient, values, least), None


def index_select(values: Tensor, axis: int, index: Tensor) -> Tensor:
    """``values.index_select(axis, index)``."""
    found: Tensor = _Taken.apply(values, axis, index, False)  # type: ignore[no-untyped-call]
    return found


def gather(values: Tensor, axis: int, index: Tensor) -> Tensor:
    """``values.gather(axis, index)``."""
    found: Tensor = _Taken.apply(values, axis, index, True)  # type: ignore[no-untyped-call]
    return found


def above_zero(values: Tensor) -> Tensor:
    """``values.clamp_min(0)``."""
    found: Tensor = _AboveZero.apply(values, False)  # type: ignore[no-untyped-call]
    return found


def mean_above_zero(values: Tensor) -> Tensor:
    """``values.clamp_min(0).mean()``."""
    found: Tensor = _AboveZero.apply(values, True)  # type: ignore[no-untyped-call]
    return found

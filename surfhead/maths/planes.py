"""Small vectors and matrices stored plane by plane, which is how this project computes with many of them.

A tensor (..., 3) or (..., 3, 3) of many small vectors or matrices keeps its usual shape, but its memory is
ordered entry by entry: all x, then all y, then all z. Operations on whole planes are contiguous, so that they
vectorise on CPUs and coalesce on GPUs; reductions over a last dimension of three, batched products of 3x3
matrices, and the gradients PyTorch derives for both are several times slower. All functions accept
tensors in any memory order.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from surfhead.maths import launches

_broadcast: Any = torch.broadcast_tensors


def planes(tensor: Tensor) -> tuple[Tensor, ...]:
    """The entries along the last dimension, each (...); unlike ``unbind``'s, their gradients stay planes."""
    return tensor.movedim(-1, 0).unbind(0)


def from_planes(*entries: Tensor) -> Tensor:
    """(..., k) the vectors with these k entries (...)."""
    return torch.stack(entries).movedim(0, -1)


def matrix_from_planes(*entries: Tensor) -> Tensor:
    """(..., 3, 3) the matrices with these nine entries (...), row by row."""
    return torch.stack(entries).reshape(3, 3, *entries[0].shape).movedim((0, 1), (-2, -1))


def dot(first: tuple[Tensor, ...], second: tuple[Tensor, ...]) -> Tensor:
    """(...) inner product of two vectors given as planes."""
    total = first[0] * second[0]
    for a, b in zip(first[1:], second[1:], strict=True):
        total = total + a * b
    return total


def cross(first: tuple[Tensor, ...], second: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Cross product of two 3-vectors given as planes."""
    a, b, c = first
    x, y, z = second
    return b * z - c * y, c * x - a * z, a * y - b * x


def scaled(vector: tuple[Tensor, ...], factor: Tensor) -> tuple[Tensor, ...]:
    """A vector given as planes times a number (...)."""
    return tuple(entry * factor for entry in vector)


def _multiply(first: Tensor, second: Tensor) -> Tensor:
    """(..., 3, 3) product without recording gradients."""
    first, second = _broadcast(first, second)
    a, b = first.movedim((-2, -1), (0, 1)), second.movedim((-2, -1), (0, 1))
    product = a[:, 0, None] * b[0]
    product.addcmul_(a[:, 1, None], b[1]).addcmul_(a[:, 2, None], b[2])
    return product.movedim((0, 1), (-2, -1))


class _MatrixProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor) -> Tensor:
        ctx.save_for_backward(first, second)
        return _multiply(first, second)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        first, second = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        return (
            _multiply(gradients[0], second.mT).sum_to_size(first.shape) if wanted[0] else None,
            _multiply(first.mT, gradients[0]).sum_to_size(second.shape) if wanted[1] else None,
        )


def matrix_product(first: Tensor, second: Tensor) -> Tensor:
    """(..., 3, 3) the product of 3x3 matrices of broadcastable leading shapes; no second derivative."""
    apply: Any = _MatrixProduct.apply
    product: Tensor = apply(first, second)
    return product


def _hamilton(first: tuple[Tensor, ...], second: tuple[Tensor, ...]) -> Tensor:
    """(..., 4) product of quaternions given as planes of one shape, without recording gradients."""
    a, b, c, d = first
    w, x, y, z = second
    product = a.new_empty(4, *a.shape)
    torch.mul(a, w, out=product[0]).addcmul_(b, x, value=-1).addcmul_(c, y, value=-1).addcmul_(d, z, value=-1)
    torch.mul(a, x, out=product[1]).addcmul_(b, w).addcmul_(c, z).addcmul_(d, y, value=-1)
    torch.mul(a, y, out=product[2]).addcmul_(b, z, value=-1).addcmul_(c, w).addcmul_(d, x)
    torch.mul(a, z, out=product[3]).addcmul_(b, y).addcmul_(c, x, value=-1).addcmul_(d, w)
    return product.movedim(0, -1)


def conjugated(quaternion: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The conjugate of a quaternion given as planes."""
    return quaternion[0], -quaternion[1], -quaternion[2], -quaternion[3]


class _QuaternionProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor) -> Tensor:
        ctx.save_for_backward(first, second)
        first, second = _broadcast(first, second)
        return _hamilton(planes(first), planes(second))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        # multiplying by q is a linear map whose transpose is multiplying by q's conjugate
        shapes = [saved.shape for saved in ctx.saved_tensors]
        first, second = (planes(saved) for saved in _broadcast(*ctx.saved_tensors))
        gradient = planes(gradients[0])
        wanted = ctx.needs_input_grad
        return (
            _hamilton(gradient, conjugated(second)).sum_to_size(shapes[0]) if wanted[0] else None,
            _hamilton(conjugated(first), gradient).sum_to_size(shapes[1]) if wanted[1] else None,
        )


def quaternion_product(first: Tensor, second: Tensor) -> Tensor:
    """(..., 4) Hamilton product of broadcastable leading shapes; no second derivative."""
    apply: Any = _QuaternionProduct.apply
    product: Tensor = apply(first, second)
    return product


def _rows(values: Tensor) -> Tensor:
    """(R, F) the planes of (P, F, ...), every pose and entry a row."""
    leading = values.movedim((0, 1), (-2, -1))
    return leading.reshape(math.prod(leading.shape[:-1]), values.shape[1])


def _from_rows(rows: Tensor, values: Tensor) -> Tensor:
    """(P, N, ...) from rows (R, N) made of ``values`` (P, F, ...)."""
    return rows.reshape(*values.shape[2:], len(values), rows.shape[1]).movedim((-2, -1), (0, 1))


def take(values: Tensor, index: Tensor) -> Tensor:
    """(P, N, ...) the entries ``index`` (N,) of values (P, F, ...)."""
    rows = _rows(values)
    return _from_rows(launches.gather(rows, 1, index.expand(len(rows), -1)), values)


class _WeightedTake(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, index: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(values, index, weights)
        rows = _rows(values)
        total = rows.new_zeros(len(rows), len(index))
        for chosen, weight in zip(index.mT.contiguous(), weights.mT.contiguous(), strict=True):
            total.addcmul_(rows.gather(1, chosen.expand(len(rows), -1)), weight)
        return _from_rows(total, values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, Tensor | None]:
        values, index, weights = ctx.saved_tensors
        rows, gradient = _rows(values), _rows(gradients[0])
        to_values = torch.zeros_like(rows) if ctx.needs_input_grad[0] else None
        to_weights = torch.empty_like(weights) if ctx.needs_input_grad[2] else None
        for j, (chosen, weight) in enumerate(
            zip(index.mT.contiguous(), weights.mT.contiguous(), strict=True)
        ):
            column = chosen.expand(len(rows), -1)
            if to_values is not None:
                to_values.scatter_add_(1, column, gradient * weight)
            if to_weights is not None:
                to_weights[:, j] = (gradient * rows.gather(1, column)).sum(dim=0)
        return None if to_values is None else _from_rows(to_values, values), None, to_weights


def weighted_take(values: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """(P, N, ...) sums Σ_j weights_j values[index_j] of values (P, F, ...); no second derivative.

    Args:
        values: (P, F, ...).
        index: (N, M) int64.
        weights: (N, M).
    """
    apply: Any = _WeightedTake.apply
    total: Tensor = apply(values, index, weights)
    return total


class _Contraction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, features: Tensor) -> Tensor:
        by_entry, by_channel = values.movedim(-1, 0), features.movedim(0, -1).contiguous()
        ctx.save_for_backward(by_entry, by_channel)
        total = values.new_zeros(features.shape[2], *values.shape[:2])
        for value, feature in zip(by_entry, by_channel, strict=True):
            total.addcmul_(value, feature[:, None])
        return total.movedim(0, -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        by_entry, by_channel = ctx.saved_tensors
        gradient = gradients[0].movedim(-1, 0).contiguous()
        to_values = to_features = None
        if ctx.needs_input_grad[0]:
            to_values = torch.zeros_like(by_entry, memory_format=torch.contiguous_format)
            for channel, part in enumerate(gradient):
                to_values.addcmul_(part, by_channel[:, channel, None])
            to_values = to_values.movedim(0, -1)
        if ctx.needs_input_grad[1]:
            to_features = torch.zeros_like(by_channel)
            for view in range(by_entry.shape[1]):
                to_features.addcmul_(by_entry[:, view, None], gradient[:, view])
            to_features = to_features.movedim(-1, 0)
        return to_values, to_features


def contract(values: Tensor, features: Tensor) -> Tensor:
    """(B, N, C) sums Σ_k values_bnk features_nkc; no second derivative.

    Args:
        values: (B, N, K), such as basis functions in B views.
        features: (N, K, C), such as their coefficients.
    """
    apply: Any = _Contraction.apply
    total: Tensor = apply(values, features)
    return total

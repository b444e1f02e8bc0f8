"""Shading under distant light, and highlights of the same light, as functions of a unit vector.

Up to the second band a function of a unit vector v is a quadric, f(v) = c + b·v + vᵀ Q v (Ramamoorthi and
Hanrahan, "An Efficient Representation for Irradiance Environment Maps", SIGGRAPH 2001, equation 12), which
takes one small matrix product instead of nine harmonics.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from surfhead.core.api import harmonics, planes

QUADRIC = 13  # numbers a channel: c, b and Q by rows
PART = 2048  # vectors that a part of a long sum takes


def quadric_map() -> Tensor:
    """(13, 9) float32: from harmonic coefficients to the second degree to c, b and Q."""
    axes = torch.eye(3, dtype=torch.float64)
    rows = torch.zeros(QUADRIC, harmonics.size(2), dtype=torch.float64)
    single = harmonics.basis(axes, 2)
    rows[0, 0] = single[0, 0]
    rows[1:4, 1:4] = single[:, 1:4]
    for i in range(3):
        for j in range(3):
            # the second band is a homogeneous polynomial, so this holds for vectors of any length
            both = harmonics.basis(axes[i] + axes[j], 2)[4:]
            rows[4 + 3 * i + j, 4:] = 0.5 * (both - single[i, 4:] - single[j, 4:])
    return rows.float()


def quadric_values(numbers: Tensor, vectors: Tensor) -> Tensor:
    """(B, N, 3) f(v) a channel.

    Args:
        numbers: (13, 3) c, b and Q by rows, a column a channel; Q is symmetric.
        vectors: (B, N, 3) unit vectors.
    """
    found: Tensor = _Quadric.apply(numbers, vectors)  # type: ignore[no-untyped-call]
    return found


def _monomials(vectors: Tensor) -> Tensor:
    """(9, M) x, y, z, their squares, and xy, xz, yz."""
    x, y, z = planes.planes(vectors.reshape(-1, 3))
    return torch.stack((x, y, z, x * x, y * y, z * z, x * y, x * z, y * z))


class _Quadric(torch.autograd.Function):
    """The quadric with its derivative b + 2 Q v written out, and the long sums of the other one in parts."""

    @staticmethod
    def forward(ctx: Any, numbers: Tensor, vectors: Tensor) -> Tensor:
        terms = _monomials(vectors)
        ctx.save_for_backward(numbers, vectors, terms)
        quadric = numbers[4:]
        # what is beside Q's diagonal counts twice; by slices, for a list as an index is copied from the host
        beside = torch.cat((quadric[1:3], quadric[5:6]))
        factors = torch.cat((numbers[1:4], quadric[0::4], 2.0 * beside))
        return torch.addmm(numbers[0][:, None], factors.T, terms).T.reshape(vectors.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        numbers, vectors, terms = ctx.saved_tensors
        rows = gradient.reshape(-1, 3).T.contiguous()  # (3 channels, M)
        g_numbers = g_vectors = None
        if ctx.needs_input_grad[0]:
            one, each = rows.sum(dim=1)[None], _long_product(terms, rows)
            first, squares, (xy, xz, yz) = each[:3], each[3:6], each[6:].unbind(0)
            quadric = (squares[0], xy, xz, xy, squares[1], yz, xz, yz, squares[2])
            g_numbers = torch.cat((one, first, torch.stack(quadric)))
        if ctx.needs_input_grad[1]:
            total = numbers[1:4] @ rows  # (3 axes, M)
            for axis, along in enumerate(planes.planes(vectors.reshape(-1, 3))):
                total = torch.addcmul(total, numbers[4 + 3 * axis : 7 + 3 * axis] @ rows, along, value=2.0)
            g_vectors = total.T.reshape(vectors.shape)
        return g_numbers, g_vectors


def _long_product(first: Tensor, second: Tensor) -> Tensor:
    """(A, C) first (A, M) times second (C, M) transposed; a GPU shares out the parts of a long M."""
    length = first.shape[1]
    if not first.is_cuda or length < 2 * PART:
        return first @ second.T
    whole = length // PART * PART
    parts = [t[:, :whole].reshape(len(t), -1, PART).transpose(0, 1) for t in (first, second)]
    found = torch.bmm(parts[0], parts[1].transpose(1, 2)).sum(dim=0)
    return found + first[:, whole:] @ second[:, whole:].T

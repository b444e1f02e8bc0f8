"""Rotations and the polar decomposition: quaternions (w, x, y, z), axis-angle vectors, 3x3 matrices.

All functions take any leading shape, work in float32 and float64, and have finite gradients at the
identity. Results are stored plane by plane (see ``surfhead.maths.planes``).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from surfhead.maths.planes import (
    conjugated,
    dot,
    from_planes,
    matrix_from_planes,
    matrix_product,
    planes,
    quaternion_product,
    scaled,
)

SMALL_ANGLE_SQUARED = 1e-8  # below it the Taylor branches are exact to float64 rounding
NEWTON_STEPS = 8  # enough for condition numbers far beyond those of blended Jacobians


def quaternion_multiply(first: Tensor, second: Tensor) -> Tensor:
    """(..., 4) Hamilton product: the rotation ``second`` followed by ``first``."""
    return quaternion_product(first, second)


def quaternion_conjugate(quaternion: Tensor) -> Tensor:
    """(..., 4) the conjugate; for unit quaternions the inverse rotation."""
    return from_planes(*conjugated(planes(quaternion)))


def unit_quaternion_to_matrix(quaternion: Tensor) -> Tensor:
    """(..., 3, 3) rotation of a quaternion (..., 4) that already has unit length."""
    w, x, y, z = planes(quaternion)
    x2, y2, z2 = 2 * x, 2 * y, 2 * z
    wx, wy, wz = w * x2, w * y2, w * z2
    xx, xy, xz = x * x2, x * y2, x * z2
    yy, yz, zz = y * y2, y * z2, z * z2
    return matrix_from_planes(
        1 - (yy + zz), xy - wz, xz + wy, xy + wz, 1 - (xx + zz), yz - wx, xz - wy, yz + wx, 1 - (xx + yy)
    )


def quaternion_to_matrix(quaternion: Tensor) -> Tensor:
    """(..., 3, 3) rotation of a quaternion (..., 4) of any non-zero length."""
    return unit_quaternion_to_matrix(torch.nn.functional.normalize(quaternion, dim=-1))


def looks_inward(quaternion: Tensor) -> Tensor:
    """(...) bool, whether a surfel with a quaternion (..., 4) has its normal on its triangle's inner side."""
    w, x, y, z = planes(quaternion.square())
    return w + z < x + y  # the third axis along the triangle's normal, of a quaternion of any length


def third_axis(quaternion: Tensor) -> Tensor:
    """(..., 3) the last column of ``quaternion_to_matrix``, without the others."""
    w, x, y, z = planes(quaternion)
    ww, xx, yy, zz = w * w, x * x, y * y, z * z
    ends, middle = ww + zz, xx + yy
    factor = 1.0 / (ends + middle)
    double = factor + factor
    return from_planes((x * z + w * y) * double, (y * z - w * x) * double, (ends - middle) * factor)


class _MatrixToQuaternion(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        a, b, c, d, e, f, g, h, i = planes(matrix.flatten(-2))
        wx, wy, wz, xy, xz, yz = h - f, c - g, d - b, d + b, c + g, h + f
        ww, xx, yy, zz = 1 + a + e + i, 1 + a - e - i, 1 - a + e - i, 1 - a - e + i
        half, other = torch.maximum(ww, xx), torch.maximum(yy, zz)
        rows = ((ww, wx, wy, wz), (wx, xx, xy, xz), (wy, xy, yy, yz), (wz, xz, yz, zz))
        row = []
        for of_w, of_x, of_y, of_z in zip(*rows, strict=True):
            first, second = torch.where(ww >= xx, of_w, of_x), torch.where(yy >= zz, of_y, of_z)
            row.append(torch.where(half >= other, first, second))
        # of q and -q, the one with a real part >= 0
        factor = torch.where(row[0] < 0, -1.0, 1.0) * dot(tuple(row), tuple(row)).rsqrt()
        quaternion = from_planes(*scaled(tuple(row), factor))
        ctx.save_for_backward(matrix, quaternion)
        return quaternion

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        matrix, quaternion = ctx.saved_tensors
        turn = quaternion_product(quaternion_conjugate(quaternion), gradients[0])[..., 1:]
        return 0.25 * matrix_product(matrix, cross_matrix(turn))


def matrix_to_quaternion(matrix: Tensor) -> Tensor:
    """(..., 4) unit quaternion with w >= 0 of a rotation (..., 3, 3).

    The outer product 4 q qᵀ is linear in the matrix; its row with the largest diagonal entry, divided by
    its length, is the quaternion: no branch divides by a number below 1. The gradient is that along the
    rotations, ¼ R [vec(q* g)]ₓ for the gradient g of q; it has no second derivative.
    """
    apply: Any = _MatrixToQuaternion.apply
    quaternion: Tensor = apply(matrix)
    return quaternion


def axis_angle_to_quaternion(axis_angle: Tensor) -> Tensor:
    """(..., 4) unit quaternion of rotation vectors (..., 3), radians."""
    vector = planes(axis_angle)
    squared = dot(vector, vector)
    small = squared < SMALL_ANGLE_SQUARED
    # constants go in before the square root and the division: `where` alone lets NaN gradients through
    angle = torch.where(small, 1.0, squared).sqrt()
    factor = torch.where(small, 0.5 - squared / 48, torch.sin(0.5 * angle) / angle)
    real = torch.where(small, 1 - squared / 8, torch.cos(0.5 * angle))
    return from_planes(real, *scaled(vector, factor))


def quaternion_to_axis_angle(quaternion: Tensor) -> Tensor:
    """(..., 3) rotation vectors, radians, at most π long, of unit quaternions (..., 4) of either sign."""
    real, *vector = planes(quaternion)
    squared = dot(tuple(vector), tuple(vector))
    small = squared < SMALL_ANGLE_SQUARED
    sine = torch.where(small, 1.0, squared).sqrt()
    # of q and -q, the one with a real part >= 0
    sign = torch.where(real < 0, -1.0, 1.0)
    cosine = real * sign
    safe = torch.where(small, cosine, 1.0)
    series = (1 - squared / (3 * safe * safe)) / safe
    factor = torch.where(small, series, torch.atan2(sine, cosine) / sine)
    return from_planes(*scaled(tuple(vector), 2 * sign * factor))


def axis_angle_to_matrix(axis_angle: Tensor) -> Tensor:
    """(..., 3, 3) the rotation exp([v]ₓ) of rotation vectors (..., 3), radians."""
    return unit_quaternion_to_matrix(axis_angle_to_quaternion(axis_angle))


def matrix_to_axis_angle(matrix: Tensor) -> Tensor:
    """(..., 3) the rotation vector log(R), radians, at most π long, of rotations (..., 3, 3)."""
    return quaternion_to_axis_angle(matrix_to_quaternion(matrix))


def cross_matrix(vector: Tensor) -> Tensor:
    """(..., 3, 3) the matrix [v]ₓ with [v]ₓ x = v × x."""
    x, y, z = planes(vector)
    zero = torch.zeros_like(x)
    return matrix_from_planes(zero, -z, y, z, zero, -x, -y, x, zero)


def determinant(matrix: Tensor) -> Tensor:
    """(...) determinant of (..., 3, 3), by components."""
    a, b, c, d, e, f, g, h, i = planes(matrix.flatten(-2))
    return a * (e * i - f * h) + b * (f * g - d * i) + c * (d * h - e * g)


def _cofactor(planes: Tensor) -> Tensor:
    """(9, M) cofactors of M matrices given as nine planes in row-major order."""
    a, b, c, d, e, f, g, h, i = planes
    return torch.stack(
        (
            e * i - f * h,
            f * g - d * i,
            d * h - e * g,
            c * h - b * i,
            a * i - c * g,
            b * g - a * h,
            b * f - c * e,
            c * d - a * f,
            a * e - b * d,
        )
    )


class _PolarRotation(torch.autograd.Function):
    """Rotation factor of A = R U by scaled Newton iteration, with the closed-form backward."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        x = _flat(matrix.detach()).clone()
        for _ in range(NEWTON_STEPS):
            cofactor = _cofactor(x)
            inverse_transposed = cofactor / (x[0] * cofactor[0] + x[1] * cofactor[1] + x[2] * cofactor[2])
            # Higham's scaling in the Frobenius norm brings the singular values around one
            scaling = (inverse_transposed.square().sum(dim=0) / x.square().sum(dim=0)).pow(0.25)
            x = 0.5 * (scaling * x + inverse_transposed / scaling)
        leading = matrix.shape[:-2]
        rotation = x.reshape(3, 3, *leading).movedim((0, 1), (-2, -1))
        ctx.save_for_backward(matrix, rotation)
        return rotation

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        matrix, rotation = ctx.saved_tensors
        stretch = _flat(matrix_product(rotation.mT, matrix))
        twist = _flat(matrix_product(rotation.mT, gradients[0]))
        twist = torch.stack((twist[7] - twist[5], twist[2] - twist[6], twist[3] - twist[1]))
        trace = (1 + 1e-8) * (stretch[0] + stretch[4] + stretch[8])
        system = -stretch
        system[0] += trace
        system[4] += trace
        system[8] += trace
        # the system is symmetric, so its inverse is its cofactor matrix over its determinant
        cofactor = _cofactor(system)
        scale = 1 / (system[0] * cofactor[0] + system[1] * cofactor[1] + system[2] * cofactor[2])
        axis = [scale * sum(cofactor[3 * i + j] * twist[j] for j in range(3)) for i in range(3)]
        turn = cross_matrix(torch.stack(axis).movedim(0, -1).reshape(matrix.shape[:-1]))
        return matrix_product(rotation, turn)


def _flat(matrix: Tensor) -> Tensor:
    """(9, M) the entries of (..., 3, 3) as planes."""
    return matrix.movedim((-2, -1), (0, 1)).reshape(9, math.prod(matrix.shape[:-2]))


def polar_rotation(matrix: Tensor) -> Tensor:
    """The rotation R of the polar decomposition A = R U of matrices with positive determinant.

    Eight steps of the scaled Newton iteration X ← (γX + X⁻ᵀ/γ)/2 (Higham, "Computing the polar
    decomposition", 1986). The gradient is the closed form R[y]ₓ with
    y = (tr(U) 1 − U + ε 1)⁻¹ vex(RᵀG − GᵀR), ε = 1e-8 tr U; it has no second derivative.

    Args:
        matrix: (..., 3, 3) with det > 0; put a constant in where that fails, before calling.

    Returns:
        (..., 3, 3) rotations.
    """
    apply: Any = _PolarRotation.apply
    rotation: Tensor = apply(matrix)
    return rotation


def largest_singular_value(matrix: Tensor) -> Tensor:
    """(...) the largest singular value of (..., 3, 3), in closed form, for values without a gradient.

    The largest eigenvalue of AᵀA by the trigonometric solution (Smith, "Eigenvalues of a symmetric 3 × 3
    matrix", 1961).
    """
    square = matrix_product(matrix.mT, matrix)
    middle = square.diagonal(dim1=-2, dim2=-1).sum(-1) / 3
    rest = square - middle[..., None, None] * torch.eye(3, dtype=matrix.dtype, device=matrix.device)
    spread = (rest.square().sum(dim=(-2, -1)) / 6).sqrt()
    unit = rest / spread.clamp_min(torch.finfo(matrix.dtype).tiny)[..., None, None]
    angle = torch.acos((determinant(unit) / 2).clamp(-1.0, 1.0)) / 3
    return (middle + 2 * spread * torch.cos(angle)).clamp_min(0.0).sqrt()

"""Rotations and the polar decomposition: quaternions (w, x, y, z), axis-angle vectors, 3x3 matrices.

All functions take any leading shape, work in float32 and float64, and have finite gradients at the
identity. Products of 3x3 matrices are written out by components where that pays: it is faster than
batched matrix products of this size, and no reduced-precision matrix unit can touch it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

SMALL_ANGLE_SQUARED = 1e-8  # below it the Taylor branches are exact to float64 rounding
NEWTON_STEPS = 8  # enough for condition numbers far beyond those of blended Jacobians


def quaternion_multiply(first: Tensor, second: Tensor) -> Tensor:
    """(..., 4) Hamilton product: the rotation ``second`` followed by ``first``."""
    a, b, c, d = first.unbind(-1)
    w, x, y, z = second.unbind(-1)
    return torch.stack(
        (
            a * w - b * x - c * y - d * z,
            a * x + b * w + c * z - d * y,
            a * y - b * z + c * w + d * x,
            a * z + b * y - c * x + d * w,
        ),
        dim=-1,
    )


def quaternion_conjugate(quaternion: Tensor) -> Tensor:
    """(..., 4) the conjugate; for unit quaternions the inverse rotation."""
    return quaternion * quaternion.new_tensor([1.0, -1.0, -1.0, -1.0])


def canonical_sign(quaternion: Tensor) -> Tensor:
    """(..., 4) the one of ``q`` and ``-q`` with w >= 0."""
    return torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def unit_quaternion_to_matrix(quaternion: Tensor) -> Tensor:
    """(..., 3, 3) rotation of a quaternion (..., 4) that already has unit length."""
    w, x, y, z = quaternion.unbind(-1)
    x2, y2, z2 = 2 * x, 2 * y, 2 * z
    wx, wy, wz = w * x2, w * y2, w * z2
    xx, xy, xz = x * x2, x * y2, x * z2
    yy, yz, zz = y * y2, y * z2, z * z2
    matrix = torch.stack(
        (1 - (yy + zz), xy - wz, xz + wy, xy + wz, 1 - (xx + zz), yz - wx, xz - wy, yz + wx, 1 - (xx + yy)),
        dim=-1,
    )
    return matrix.reshape(*quaternion.shape[:-1], 3, 3)


def quaternion_to_matrix(quaternion: Tensor) -> Tensor:
    """(..., 3, 3) rotation of a quaternion (..., 4) of any non-zero length."""
    return unit_quaternion_to_matrix(torch.nn.functional.normalize(quaternion, dim=-1))


def matrix_to_quaternion(matrix: Tensor) -> Tensor:
    """(..., 4) unit quaternion with w >= 0 of a rotation (..., 3, 3).

    The outer product 4 q qᵀ is linear in the matrix; its row with the largest diagonal entry, divided by
    its length, is the quaternion. No branch divides by a number below 1.
    """
    a, b, c, d, e, f, g, h, i = matrix.flatten(-2).unbind(-1)
    wx, wy, wz = h - f, c - g, d - b
    xy, xz, yz = d + b, c + g, h + f
    diagonal = torch.stack((1 + a + e + i, 1 + a - e - i, 1 - a + e - i, 1 - a - e + i), dim=-1)
    ww, xx, yy, zz = diagonal.unbind(-1)
    outer = torch.stack((ww, wx, wy, wz, wx, xx, xy, xz, wy, xy, yy, yz, wz, xz, yz, zz), dim=-1)
    outer = outer.reshape(*diagonal.shape, 4)
    largest = diagonal.detach().argmax(dim=-1)[..., None, None].expand(*diagonal.shape[:-1], 1, 4)
    row = outer.gather(-2, largest).squeeze(-2)
    return canonical_sign(row / torch.linalg.vector_norm(row, dim=-1, keepdim=True))


def axis_angle_to_quaternion(axis_angle: Tensor) -> Tensor:
    """(..., 4) unit quaternion of rotation vectors (..., 3), radians."""
    squared = (axis_angle * axis_angle).sum(dim=-1, keepdim=True)
    small = squared < SMALL_ANGLE_SQUARED
    # constants go in before the square root and the division: `where` alone lets NaN gradients through
    angle = torch.where(small, torch.ones_like(squared), squared).sqrt()
    factor = torch.where(small, 0.5 - squared / 48, torch.sin(0.5 * angle) / angle)
    real = torch.where(small, 1 - squared / 8, torch.cos(0.5 * angle))
    return torch.cat((real, factor * axis_angle), dim=-1)


def quaternion_to_axis_angle(quaternion: Tensor) -> Tensor:
    """(..., 3) rotation vectors, radians, at most π long, of unit quaternions (..., 4) of either sign."""
    quaternion = canonical_sign(quaternion)
    real, imaginary = quaternion[..., :1], quaternion[..., 1:]
    squared = (imaginary * imaginary).sum(dim=-1, keepdim=True)
    small = squared < SMALL_ANGLE_SQUARED
    sine = torch.where(small, torch.ones_like(squared), squared).sqrt()
    cosine = torch.where(small, real, torch.ones_like(real))
    series = (1 - squared / (3 * cosine * cosine)) / cosine
    return 2 * torch.where(small, series, torch.atan2(sine, real) / sine) * imaginary


def axis_angle_to_matrix(axis_angle: Tensor) -> Tensor:
    """(..., 3, 3) the rotation exp([v]ₓ) of rotation vectors (..., 3), radians."""
    return unit_quaternion_to_matrix(axis_angle_to_quaternion(axis_angle))


def matrix_to_axis_angle(matrix: Tensor) -> Tensor:
    """(..., 3) the rotation vector log(R), radians, at most π long, of rotations (..., 3, 3)."""
    return quaternion_to_axis_angle(matrix_to_quaternion(matrix))


def cross_matrix(vector: Tensor) -> Tensor:
    """(..., 3, 3) the matrix [v]ₓ with [v]ₓ x = v × x."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), dim=-1).reshape(*vector.shape[:-1], 3, 3)


def determinant(matrix: Tensor) -> Tensor:
    """(...) determinant of (..., 3, 3), by components."""
    a, b, c, d, e, f, g, h, i = matrix.flatten(-2).unbind(-1)
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
        # nine contiguous planes: every operation of the iteration is one pass over memory
        x = matrix.detach().reshape(-1, 9).T.contiguous()
        for _ in range(NEWTON_STEPS):
            cofactor = _cofactor(x)
            inverse_transposed = cofactor / (x[:3] * cofactor[:3]).sum(dim=0)
            # Higham's scaling in the Frobenius norm brings the singular values around one
            scaling = (inverse_transposed.square().sum(dim=0) / x.square().sum(dim=0)).pow(0.25)
            x = 0.5 * (scaling * x + inverse_transposed / scaling)
        rotation = x.T.reshape(matrix.shape).contiguous()
        ctx.save_for_backward(matrix, rotation)
        return rotation

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        matrix, rotation = ctx.saved_tensors
        stretch = rotation.mT @ matrix
        trace = stretch.diagonal(dim1=-2, dim2=-1).sum(dim=-1)[..., None, None]
        twist = rotation.mT @ gradients[0]
        twist = torch.stack(
            (
                twist[..., 2, 1] - twist[..., 1, 2],
                twist[..., 0, 2] - twist[..., 2, 0],
                twist[..., 1, 0] - twist[..., 0, 1],
            ),
            dim=-1,
        )
        identity = torch.eye(3, dtype=matrix.dtype, device=matrix.device)
        system = (1 + 1e-8) * trace * identity - stretch
        planes = system.reshape(-1, 9).T.contiguous()
        cofactor = _cofactor(planes)
        solve = (cofactor / (planes[:3] * cofactor[:3]).sum(dim=0)).T.reshape(matrix.shape)
        # the system is symmetric, so its inverse is its cofactor matrix over its determinant
        gradient: Tensor = rotation @ cross_matrix((solve * twist[..., None, :]).sum(dim=-1))
        return gradient


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

"""Canonical surfels carried into the world."""

from __future__ import annotations

import torch
from torch import Tensor

from surfhead import kernels
from surfhead.kernels.choices import chosen
from surfhead.maths import planes
from surfhead.maths.geometry import quaternion_to_matrix


def apply_field(
    linear: Tensor, origin: Tensor, offset: Tensor, log_scale: Tensor, quaternion: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (P, N, 3), tangents (P, N, 3, 2) and unit normal (P, N, 3) of surfels (method: section 4).

    ``mean = L x + o``, ``[t_u t_v] = L r[:, :2] diag(s)``, ``n`` parallel to ``t_u x t_v``.

    Args:
        linear: (P, N, 3, 3) the affine field's L, metres per unit.
        origin: (P, N, 3) its o, metres.
        offset: (N, 3) centres x in their triangles' frames, units.
        log_scale: (N, 2) logarithms of the scales s.
        quaternion: (N, 4) rotations r, of any length.
    """
    if kernels.serves(linear):
        from surfhead.kernels import cuda

        return cuda.apply_field(linear, origin, offset, log_scale, quaternion)
    axes = planes.planes(quaternion_to_matrix(quaternion))
    columns = [offset, axes[0], axes[1]]
    local = torch.stack([torch.stack(planes.planes(column)) for column in columns], dim=1)
    world = planes.matrix_product(linear, local.movedim((0, 1), (-2, -1)))
    # the unscaled columns also give the normal, free of the scales' range
    x, u, v = world.movedim((-1, -2), (0, 1)).unbind(0)
    normal = planes.cross(u.unbind(0), v.unbind(0))
    inverse = planes.dot(normal, normal).clamp_min(1e-24).rsqrt()
    scale = planes.planes(log_scale.exp())
    tangents = torch.stack([u * scale[0], v * scale[1]])
    return (
        x.movedim(0, -1) + origin,
        tangents.movedim((1, 0), (-2, -1)),
        planes.from_planes(*planes.scaled(normal, inverse)),
    )


def apply_field_passing(
    linear: Tensor, origin: Tensor, offset: Tensor, log_scale: Tensor, quaternion: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """``apply_field``, and (P, N, 3, 3) ``linear`` for whoever takes it after.

    Where kernels serve, nothing passes over all surfels to add what reaches it from there.
    """
    if linear.requires_grad and torch.is_grad_enabled() and kernels.serves(linear) and chosen("sums"):
        from surfhead.kernels import cuda

        return cuda.apply_field_passing(linear, origin, offset, log_scale, quaternion)
    return *apply_field(linear, origin, offset, log_scale, quaternion), linear

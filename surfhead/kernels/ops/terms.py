"""Terms of the loss that look at whole pictures or at all surfels (method: sections 5 and 7)."""

from __future__ import annotations

import torch
from torch import Tensor

from surfhead import kernels
from surfhead.maths import depth_normals, geometry, metrics

SMALLEST_DETERMINANT = 1e-3  # of a deformation; those of real heads stay above 0.1


def picture_losses(image: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """(B,) mean absolute colour error and (B,) mean structural similarity of pictures.

    Args:
        image: (B, H, W, 3), differentiable.
        truth: (B, H, W, 3) uint8, or float in [0, 1]; a constant.
    """
    if kernels.serves(image):
        from surfhead.kernels import cuda

        return cuda.picture_losses(image, truth)
    target = truth.to(image.dtype) / 255.0 if truth.dtype == torch.uint8 else truth.to(image.dtype)
    return (image - target).abs().mean(dim=(1, 2, 3)), metrics.ssim(image, target)


def mean_picture_losses(image: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """The means over the pictures of what ``picture_losses`` gives, two scalars."""
    if kernels.serves(image):
        from surfhead.kernels import cuda

        return cuda.mean_picture_losses(image, truth)
    error, similarity = picture_losses(image, truth)
    return error.mean(), similarity.mean()


def normal_term(
    depth: Tensor, alpha: Tensor, normal: Tensor, intrinsics: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The sum of 1 - N·N_depth over the mask, and the mask's sum, both scalars.

    Pixels without a normal of the depth add nothing to the first.

    Args:
        depth: (B, H, W) camera z of the surface, metres.
        alpha: (B, H, W), a constant.
        normal: (B, H, W, 3) drawn normals N.
        intrinsics: (B, 3, 3).
        mask: (B, H, W) uint8, 255 = inside, or None: all pixels.
    """
    if kernels.serves(depth):
        from surfhead.kernels import cuda

        return cuda.normal_term(depth, alpha, normal, intrinsics, mask)
    surface, defined = depth_normals.depth_normals(depth, alpha, intrinsics)
    disagreement = (1.0 - (normal * surface).sum(dim=-1)) * defined
    if mask is None:
        return disagreement.sum(), disagreement.new_full((), disagreement.numel())
    weight = mask.to(depth.dtype) / 255.0
    return (disagreement * weight).sum(), weight.sum()


def length_term(
    quaternion: Tensor, linear: Tensor, scale: Tensor, visible: Tensor, pose_of_view: Tensor | None = None
) -> Tensor:
    """The mean of | |A^-T R̄ r e3| - 1 | over the visible surfels of all views; 0 where none is.

    Args:
        quaternion: (N, 4) rotations r, of any length.
        linear: (P, N, 3, 3) L = A k R̄, metres per unit.
        scale: (1, N) or (P, N) the lengths k, metres, constants.
        visible: (B, N) bool.
        pose_of_view: (B,) index of each view's pose; None: every view has a pose of its own, in order.
    """
    if pose_of_view is None and len(scale) == 1 and kernels.serves(linear):
        from surfhead.kernels import cuda

        return cuda.length_term(quaternion, linear, scale[0], visible)
    normal = geometry.quaternion_to_matrix(quaternion)[:, :, 2:]
    first, second, third = linear.unbind(-1)
    cofactor = torch.linalg.cross(second, third)
    area = normal[:, 0] * cofactor
    area = area + normal[:, 1] * torch.linalg.cross(third, first)
    area = area + normal[:, 2] * torch.linalg.cross(first, second)
    determinant = (first * cofactor).sum(dim=-1).abs() / scale**3
    length = torch.linalg.vector_norm(area, dim=-1) / scale**2
    change = (length / determinant.clamp_min(SMALLEST_DETERMINANT) - 1.0).abs()
    if pose_of_view is not None:
        change = change.index_select(0, pose_of_view)
    weight = visible.to(change.dtype)
    found: Tensor = (change * weight).sum() / weight.sum().clamp_min(1.0)
    return found

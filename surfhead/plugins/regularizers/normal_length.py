"""Surfels collapsing by shear: mean over the visible of | |A^-T R̄ r e3| - 1 | (SurFhead).

A is the deformation at the surfel, R̄ the host's rest frame and r the surfel's rotation. With L = A k R̄ the
deformer's linear part and cof L its matrix of cofactors, A^-T R̄ r e3 = k cof(L) r e3 / det L, whose length is
|t_u × t_v| / (k² s_u s_v det A) for the tangents t_u and t_v.

Counted once for every view that sees the surfel. A blend of Jacobians may be singular or even reflect; a
determinant of A is taken as at least 0.001 in size, so that the term stays finite.
"""

from __future__ import annotations

import torch
from torch import Tensor

from surfhead import kernels
from surfhead.core.api import Regularizer, Step
from surfhead.maths import geometry
from surfhead.plugins.regularizers.masked_mean import masked_mean

SMALLEST_DETERMINANT = 1e-3  # of A; the deformations of real heads stay above 0.1


class NormalLength(Regularizer):
    """Change of the length of normals carried by the inverse transpose."""

    name = "normal_length"
    summary = "Surfels collapsing by shear."
    capturable = True
    weight = 0.01

    def __call__(self, step: Step) -> Tensor:
        """The mean change of length; unit normals have length 1."""
        linear, scale = step.field.linear, step.field.scale
        if step.batch.paired and len(scale) == 1 and kernels.serves(linear):
            found: Tensor = kernels.cuda.length_term(
                step.binding.parameters["quaternion"], linear, scale[0], step.output.visible
            )
            return found
        normal = geometry.quaternion_to_matrix(step.binding.parameters["quaternion"])[:, :, 2:]
        first, second, third = linear.unbind(-1)
        cofactor = torch.linalg.cross(second, third)
        area = normal[:, 0] * cofactor
        area = area + normal[:, 1] * torch.linalg.cross(third, first)
        area = area + normal[:, 2] * torch.linalg.cross(first, second)
        determinant = (first * cofactor).sum(dim=-1).abs() / scale**3
        length = torch.linalg.vector_norm(area, dim=-1) / scale**2
        change = (length / determinant.clamp_min(SMALLEST_DETERMINANT) - 1.0).abs()
        return masked_mean(change.index_select(0, step.batch.pose_of_view), step.output.visible)

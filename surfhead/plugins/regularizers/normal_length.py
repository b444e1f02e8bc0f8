"""Surfels collapsing by shear: mean over the visible of | |A^-T R̄ r e3| - 1 | (SurFhead).

A is the deformation at the surfel, R̄ the host's rest frame and r the surfel's rotation. With L = A k R̄ the
deformer's linear part and cof L its matrix of cofactors, A^-T R̄ r e3 = k cof(L) r e3 / det L, whose length is
|t_u × t_v| / (k² s_u s_v det A) for the tangents t_u and t_v.

Counted once for every view that sees the surfel. A blend of Jacobians may be singular or even reflect; a
determinant of A is taken as at least 0.001 in size, so that the term stays finite.
"""

from __future__ import annotations

from torch import Tensor

from surfhead.core.api import Regularizer, Step
from surfhead.kernels import ops


class NormalLength(Regularizer):
    """Change of the length of normals carried by the inverse transpose."""

    name = "normal_length"
    summary = "Surfels collapsing by shear."
    capturable = True
    weight = 0.01

    def __call__(self, step: Step) -> Tensor:
        """The mean change of length; unit normals have length 1."""
        pose_of_view = None if step.batch.paired else step.batch.pose_of_view
        return ops.length_term(
            step.binding.parameters["quaternion"],
            step.field.linear,
            step.field.scale,
            step.output.visible,
            pose_of_view,
        )

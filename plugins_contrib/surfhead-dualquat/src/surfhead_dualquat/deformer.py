"""Each surfel follows a dual-quaternion blend of the rigid motions of its host and the host's neighbours.

Every triangle j has a rigid motion from rest to pose: the rotation R_j of its Jacobian's polar decomposition
J_j = R_j U_j, about its centroid. The motions of the host i and its three edge neighbours are blended as
dual quaternions, b = Σ w_j q̂_j / |Σ w_j q̂_j| (Kavan, Collins, Zara, O'Sullivan: "Geometric Skinning with
Approximate Dual Quaternion Blending", TOG 2008, DLB), q̂_j taken with the sign nearer to the host's. The
weights w are learnt per surfel. The blend commutes with rigid motions on both sides, so it holds for any
pose of the head.

A rigid motion does not stretch. What the triangle does besides is put before it, option ``stretch``:

- ``host`` (default): the host's own stretch U_i, shear included;
- ``isotropic``: the weighted mean of the triangles' scales, k'/k, in all directions alike;
- ``none``: nothing; surfels keep their size.

Unlike the built-in deformers, the blend also moves the surfel's origin: at a bend it leaves the host's
centroid for the arc between the neighbours' motions. Surfels on eyeballs and on the open boundary follow
their host alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from surfhead.core.api import (
    AffineField,
    Binding,
    Deformer,
    Mesh,
    OptionError,
    ParameterSpec,
    neighbour_blend,
    option,
)
from surfhead.maths import geometry, triangles


@final
class DualQuaternion(Deformer):
    """Dual-quaternion linear blending (Kavan et al. 2008)."""

    name = "dualquat"
    summary = "Rigid motions of neighbouring triangles blended as dual quaternions."
    capturable = True

    @dataclass(frozen=True)
    class Options:
        """What is blended besides the rigid motions."""

        stretch: Literal["host", "isotropic", "none"] = option(
            "host", "Stretch put before the rigid motion: the host's, the mean scale, or none."
        )

    options: Options

    def parameters(self) -> Mapping[str, ParameterSpec]:
        """The blend logits."""
        return {"blend": neighbour_blend.BLEND}

    def __call__(self, mesh: Mesh | None, binding: Binding) -> AffineField:
        """The field of ``mesh``; raises OptionError without one."""
        if mesh is None:
            raise OptionError(
                'Deformer "dualquat" needs a rig.',
                "This scene has none.",
                "Choose the deformer `static`, or a data set with a rig.",
            )
        rest, posed, host = mesh.rest.frames, mesh.frames, binding.triangle
        deformed = triangles.jacobians(rest, posed)
        near = neighbour_blend.neighbourhood(mesh, binding)  # (N, 4)
        weight = neighbour_blend.weights(binding)
        flat = near.reshape(-1)

        def of_near(values: Tensor) -> Tensor:
            """(P, N, 4, ...) of values (P, F, ...)."""
            return values.index_select(1, flat).reshape(len(values), *near.shape, *values.shape[2:])

        # where motion j takes the host's rest centroid, seen from the host's posed one: small numbers, and
        # the blend does not depend on the origin
        rotation = of_near(deformed.rotation)
        centroid = of_near(posed.centroid)
        arm = rest.centroid[host][:, None] - rest.centroid[near]
        shift = centroid - centroid[:, :, :1] + (rotation @ arm[..., None]).squeeze(-1)
        real = of_near(geometry.matrix_to_quaternion(deformed.rotation))
        sign = torch.where((real * real[:, :, :1]).sum(dim=-1, keepdim=True) < 0, -1.0, 1.0).to(real)
        real = weight[:, :, None] * sign * real
        dual = 0.5 * geometry.quaternion_multiply(
            torch.cat((torch.zeros_like(shift[..., :1]), shift), -1), real
        )
        real, dual = real.sum(dim=2), dual.sum(dim=2)
        square = (real * real).sum(dim=-1, keepdim=True)
        moved = 2 * geometry.quaternion_multiply(dual, geometry.quaternion_conjugate(real))[..., 1:] / square
        turn = geometry.quaternion_to_matrix(real)

        scale = rest.scale[host]
        axes = scale[:, None, None] * rest.rotation[host]
        if self.options.stretch == "host":
            axes = deformed.stretch.index_select(1, host) @ axes
        elif self.options.stretch == "isotropic":
            ratio = torch.where(deformed.valid, posed.scale / rest.scale, torch.ones_like(posed.scale))
            axes = (of_near(ratio) * weight).sum(dim=-1)[..., None, None] * axes
        return AffineField(turn @ axes, centroid[:, :, 0] + moved, turn, scale[None])

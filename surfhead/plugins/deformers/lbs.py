"""Each surfel follows a linear blend of the Jacobians of its host and the host's edge neighbours.

A = Σ w_j J_j over the host and its three edge neighbours, with learnt weights w: the baseline that Jacobian
blend skinning is measured against. Blending matrices of different rotations loses volume, and about one
random blend in a hundred is not even orientation-preserving. R_d is the rotation of the polar
decomposition of A, by scaled Newton iteration; where A is singular or reflects it is the host's R.
Surfels on eyeballs and on the open boundary follow their host alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from surfhead.core.api import (
    AffineField,
    Binding,
    Deformer,
    FieldModel,
    Mesh,
    ParameterSpec,
    neighbour_blend,
    option,
)
from surfhead.maths import geometry
from surfhead.plugins.deformers.blending import (
    affine_field,
    blend,
    deformation,
    of_host,
    rigged,
)


@final
class Lbs(Deformer):
    """Linear blend of the neighbours' Jacobians (method: section 4)."""

    name = "lbs"
    summary = "Linear blend of the neighbours' Jacobians."
    capturable = True

    @dataclass(frozen=True)
    class Options:
        """How the rig is seen."""

        rig_gradients: bool = option(
            True, "Let gradients reach the rig through the Jacobians, not only through centroids."
        )

    options: Options

    def parameters(self) -> Mapping[str, ParameterSpec]:
        """The blend logits."""
        return {"blend": neighbour_blend.BLEND}

    def host_weight(self, binding: Binding) -> Tensor:
        """(N,) the first of the blend weights."""
        return neighbour_blend.weights(binding)[:, 0]

    def field_model(self, binding: Binding) -> FieldModel:
        """The blend of Jacobians."""
        return FieldModel("linear", neighbour_blend.weights(binding).detach())

    def __call__(self, mesh: Mesh | None, binding: Binding) -> AffineField:
        """The field of ``mesh``; raises OptionError without one."""
        mesh = rigged(self.name, mesh)
        deformed = deformation(mesh, self.options.rig_gradients)
        affine = blend(
            deformed.jacobian, neighbour_blend.neighbourhood(mesh, binding), neighbour_blend.weights(binding)
        )
        with torch.no_grad():
            # relative to the matrix's size, so that rounding cannot pass a singular blend as regular
            limit = torch.finfo(affine.dtype).eps * affine.square().sum(dim=(-2, -1)).pow(1.5)
            regular = (geometry.determinant(affine) > limit)[..., None, None]
        identity = torch.eye(3, dtype=affine.dtype, device=affine.device)
        rotation = torch.where(
            regular,
            geometry.polar_rotation(torch.where(regular, affine, identity)),
            of_host(deformed.rotation, binding),
        )
        return affine_field(mesh, binding, affine, rotation)

"""Jacobian blend skinning: rotations and stretches of neighbouring triangles blended apart.

The Jacobians of the host i and its three edge neighbours are split into J_j = R_j U_j; stretches are
blended linearly, U_b = Σ w_j U_j, rotations in the logarithm, and A = R_b U_b (SurFhead, ICLR 2025). Unlike
a linear blend it neither loses volume nor reflects. The weights w are learnt per surfel. R_d is R_b.

Rotations are blended in one of two ways, option ``rotation_blend``:

- ``relative`` (default): R_b = R_i exp(Σ w_j log(R_iᵀ R_j)). The head's own rotation drops out, so it
  holds for any pose of the head; at small rotations it differs from ``paper`` by about 3e-5 rad.
- ``paper``: R_b = exp(Σ w_j log R_j), the published average of absolute rotation vectors. It is wrong by
  up to 0.9 rad, and so are its gradients, where the rotations come near π.

Surfels on eyeballs and on the open boundary follow their host alone. The blended field jumps by up to 2 %
of an edge from one triangle to the next, as published.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, final

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
from surfhead.kernels import ops
from surfhead.maths import geometry, planes, triangles
from surfhead.plugins.deformers.blending import (
    affine_field,
    blend,
    deformation,
    rigged,
)


@final
class Jbs(Deformer):
    """Jacobian blend skinning (SurFhead; method: section 4)."""

    name = "jbs"
    summary = "Jacobian blend skinning: rotations and stretches blended apart (SurFhead)."
    capturable = True

    @dataclass(frozen=True)
    class Options:
        """How rotations are blended and how the rig is seen."""

        rotation_blend: Literal["relative", "paper"] = option(
            "relative",
            "Average rotations relative to the host's, or absolute ones as published (paper).",
            live=True,
        )
        rig_gradients: bool = option(
            True, "Let gradients reach the rig through the Jacobians, not only through centroids."
        )

    options: Options

    @property
    def max_angle(self) -> float:
        """Absolute rotation vectors average wrongly well before they reach π."""
        return math.pi / 2 if self.options.rotation_blend == "paper" else math.inf

    def parameters(self) -> Mapping[str, ParameterSpec]:
        """The blend logits."""
        return {"blend": neighbour_blend.BLEND}

    def host_weight(self, binding: Binding) -> Tensor:
        """(N,) the first of the blend weights."""
        return neighbour_blend.weights(binding)[:, 0]

    def field_model(self, binding: Binding) -> FieldModel:
        """The blend of rotations and stretches."""
        way: Literal["relative", "absolute"] = (
            "absolute" if self.options.rotation_blend == "paper" else "relative"
        )
        return FieldModel("polar", neighbour_blend.weights(binding).detach(), way)

    def __call__(self, mesh: Mesh | None, binding: Binding) -> AffineField:
        """The field of ``mesh``; raises OptionError without one."""
        mesh = rigged(self.name, mesh)
        factors = ops.neighbour_weights(binding, mesh.topology)
        if self.options.rotation_blend == "paper":
            return self._absolute(mesh, binding, factors)
        rest, neighbours = mesh.rest.frames, mesh.topology.neighbours
        quaternion, stretch, centroid = ops.pose_triangles(mesh)
        if not self.options.rig_gradients:
            quaternion, stretch = quaternion.detach(), stretch.detach()
        logarithm = ops.relative_logarithms(quaternion, neighbours)
        linear, rotation = ops.blend_triangles(
            binding.triangle, neighbours, factors, quaternion, logarithm, stretch, rest.axes
        )
        return AffineField(
            linear=linear,
            origin=ops.centres_at_hosts(centroid, binding.triangle),
            rotation=rotation,
            scale=ops.at_hosts(rest.scale, binding.triangle),
        )

    def _absolute(self, mesh: Mesh, binding: Binding, factors: Tensor) -> AffineField:
        """The field of option ``paper``."""
        deformed = deformation(mesh, self.options.rig_gradients)
        near = neighbour_blend.neighbourhood(mesh, binding)
        vector = geometry.quaternion_to_axis_angle(deformed.quaternion)
        blended = geometry.axis_angle_to_quaternion(blend(vector, near, factors))
        rotation = geometry.unit_quaternion_to_matrix(blended)
        stretch = triangles.symmetric(blend(deformed.stretch_entries, near, factors))
        return affine_field(mesh, binding, planes.matrix_product(rotation, stretch), rotation)

"""What several deformers share: their host's quantities, and sums over its edge neighbours."""

from __future__ import annotations

from torch import Tensor

from surfhead.core.api import AffineField, Binding, Mesh, OptionError
from surfhead.maths import planes, triangles


def rigged(name: str, mesh: Mesh | None) -> Mesh:
    """``mesh``; raises OptionError where there is none."""
    if mesh is None:
        raise OptionError(
            f'Deformer "{name}" needs a rig.',
            "This scene has none.",
            "Choose --deformer static, or a data set with a rig.",
        )
    return mesh


def deformation(mesh: Mesh, rig_gradients: bool) -> triangles.TriangleJacobians:
    """The triangles' Jacobians and polar factors; without gradient unless ``rig_gradients``."""
    posed = mesh.frames if rig_gradients else mesh.frames.detach()
    return triangles.jacobians(mesh.rest.frames, posed)


def of_host(values: Tensor, binding: Binding) -> Tensor:
    """(P, N, ...) the value of each surfel's host triangle, of values (P, F, ...)."""
    return planes.take(values, binding.triangle)


def affine_field(mesh: Mesh, binding: Binding, affine: Tensor, rotation: Tensor) -> AffineField:
    """The field with linear part A k R̄, A (P, N, 3, 3) in world axes, k and R̄ those at rest."""
    frames = mesh.rest.frames
    axes = of_host(frames.axes[None], binding)
    return AffineField(
        linear=planes.matrix_product(affine, axes),
        origin=of_host(mesh.frames.centroid, binding),
        rotation=rotation,
        scale=of_host(frames.scale[None], binding),
    )


def blend(values: Tensor, neighbours: Tensor, factors: Tensor) -> Tensor:
    """(P, N, ...) weighted sums Σ_j w_j values_j.

    Args:
        values: (P, F, ...) per triangle.
        neighbours: (N, M) triangle indices.
        factors: (N, M) weights.
    """
    return planes.weighted_take(values, neighbours, factors)

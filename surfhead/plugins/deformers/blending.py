"""What several deformers share: their host's quantities, and weights over its edge neighbours."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from surfhead.core.api import AffineField, Binding, Mesh, OptionError, ParameterSpec, Schedule
from surfhead.maths import planes, triangles

HOST_ONLY = ("eyeballs", "boundary")  # regions whose surfels follow their host alone

BLEND = ParameterSpec(
    shape=(4,),
    initial=(math.log(0.9 / 0.1), *(math.log(0.05 / 0.95),) * 3),
    rate=Schedule(1e-3),
    frozen_regions=HOST_ONLY,
)
"""Logits of the weights of the host and its three edge neighbours."""


def rigged(name: str, mesh: Mesh | None) -> Mesh:
    """``mesh``; raises OptionError where there is none."""
    if mesh is None:
        raise OptionError(
            f'Deformer "{name}" needs a rig.',
            "This scene has none.",
            "Choose the deformer `static`, or a data set with a rig.",
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
    axes = of_host((frames.scale[:, None, None] * frames.rotation)[None], binding)
    return AffineField(
        linear=planes.matrix_product(affine, axes),
        origin=of_host(mesh.frames.centroid, binding),
        rotation=rotation,
        scale=of_host(frames.scale[None], binding),
    )


def neighbourhood(mesh: Mesh, binding: Binding) -> Tensor:
    """(N, 4) int64: the host and its three edge neighbours (the host again across an open edge)."""
    host = binding.triangle
    return torch.cat((host[:, None], mesh.topology.neighbours.index_select(0, host)), dim=1)


def weights(binding: Binding) -> Tensor:
    """(N, 4) weights of the neighbourhood: sigmoids divided by their sum; [1, 0, 0, 0] on HOST_ONLY."""
    logits = binding.parameters["blend"]
    activated = torch.sigmoid(logits)
    blended = activated / activated.sum(dim=-1, keepdim=True)
    alone = torch.zeros(len(logits), 1, dtype=torch.bool, device=logits.device)
    for region in HOST_ONLY:
        if region in binding.regions:
            alone.index_fill_(0, binding.regions[region], True)
    first = torch.zeros_like(blended)
    first[:, 0].fill_(1.0)
    return torch.where(alone, first, blended)


def blend(values: Tensor, neighbours: Tensor, factors: Tensor) -> Tensor:
    """(P, N, ...) weighted sums Σ_j w_j values_j.

    Args:
        values: (P, F, ...) per triangle.
        neighbours: (N, M) triangle indices.
        factors: (N, M) weights.
    """
    return planes.weighted_take(values, neighbours, factors)

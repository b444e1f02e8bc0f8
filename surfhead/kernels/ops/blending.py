"""Jacobians of posed triangles, and their blend at surfels (method: sections 3 and 4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from surfhead import kernels
from surfhead.core import neighbour_blend
from surfhead.core.neighbour_blend import HOST_ONLY
from surfhead.core.types import Binding, Mesh, Topology
from surfhead.kernels.choices import chosen
from surfhead.maths import geometry, launches, planes, triangles

_posed: Any = WeakTensorKeyDictionary()
"""What was last made of constants on a CPU, as long as they live: a mesh may serve many steps."""


def _remembered(source: Tensor, other: Tensor, make: Callable[[], Any]) -> Any:
    """What ``make`` gives of two tensors; kept with the first where neither learns."""
    if source.is_cuda or source.requires_grad or other.requires_grad or source.is_inference():
        return make()
    known, version, found = _posed.get(source, (None, -1, None))
    if known is not other or version != source._version:
        found = make()
        _posed[source] = (other, source._version, found)
    return found


_at_hosts: Any = WeakTensorKeyDictionary()


def at_hosts(values: Tensor, host: Tensor) -> Tensor:
    """(1, N) each surfel's of a constant (F,) of triangles, made once for a tensor of hosts (N,) int64.

    Not kept where it would first be made while a CUDA graph is captured, whose memory it would be.
    """
    # what inference makes could not serve a step that learns
    if (
        values.requires_grad
        or values.is_inference()
        or host.is_inference()
        or torch.is_inference_mode_enabled()
    ):
        return planes.take(values[None], host)
    known, versions, found = _at_hosts.get(host, (None, None, None))
    if known is not values or versions != (values._version, host._version):
        found = planes.take(values[None], host)
        if not (host.is_cuda and torch.cuda.is_current_stream_capturing()):
            _at_hosts[host] = (values, (values._version, host._version), found)
    made: Tensor = found
    return made


def pose_triangles(mesh: Mesh) -> tuple[Tensor, Tensor, Tensor]:
    """Rotations (P, F, 4), stretches (P, F, 6) and centroids (P, F, 3; metres) of a mesh's posed triangles.

    Rotation R and stretch U are the polar factors of each triangle's Jacobian J = R U; of a stretch, which is
    symmetric, the entries as ``triangles.symmetric`` takes them.
    """
    if kernels.serves(mesh.vertices):
        from surfhead.kernels import cuda

        corners, rest = mesh.topology.triangles, mesh.rest.frames.rows
        found: tuple[Tensor, Tensor, Tensor] = _remembered(
            mesh.vertices, rest, lambda: cuda.pose_triangles(mesh.vertices, corners, rest)
        )
        return found
    deformed = triangles.jacobians(mesh.rest.frames, mesh.frames)
    return deformed.quaternion, deformed.stretch_entries, mesh.frames.centroid


def centres_at_hosts(centroid: Tensor, host: Tensor) -> Tensor:
    """(P, N, 3) the centroid of each surfel's host triangle, of centroids (P, F, 3); host (N,) int64."""
    if centroid.is_cuda and kernels.serves(centroid) and chosen("origins"):
        # row by row, as kernels make them and take them
        return launches.index_select(centroid, 1, host)
    return planes.take(centroid, host)


def relative_logarithms(quaternion: Tensor, neighbours: Tensor) -> Tensor:
    """(P, 3 F, 3) rotation vectors log(R_iᵀ R_j), radians: all first neighbours j, all second, all third.

    Args:
        quaternion: (P, F, 4) unit quaternions of the triangles' rotations.
        neighbours: (F, 3) triangle indices.
    """
    if kernels.serves(quaternion):
        from surfhead.kernels import cuda

        logarithm: Tensor = _remembered(
            quaternion, neighbours, lambda: cuda.relative_logarithms(quaternion, neighbours)
        )
        return logarithm
    own = torch.arange(len(neighbours), device=neighbours.device).repeat(3)
    inverse = geometry.quaternion_conjugate(planes.take(quaternion, own))
    other = planes.take(quaternion, neighbours.mT.reshape(-1))
    return geometry.quaternion_to_axis_angle(geometry.quaternion_multiply(inverse, other))


def neighbour_weights(binding: Binding, topology: Topology) -> Tensor:
    """(N, 4) ``neighbour_blend.weights`` of surfels on a rig's triangles."""
    logits = binding.parameters["blend"]
    if logits.is_cuda and kernels.serves(logits):
        from surfhead.kernels import cuda

        alone = [topology.regions[name] if name in binding.regions else None for name in HOST_ONLY]
        return cuda.neighbour_weights(logits, binding.triangle, *alone)
    return neighbour_blend.weights(binding)


def blend_triangles(
    host: Tensor,
    neighbours: Tensor,
    weights: Tensor,
    quaternion: Tensor,
    logarithm: Tensor,
    stretch: Tensor,
    axes: Tensor,
) -> tuple[Tensor, Tensor]:
    """Jacobian blend skinning: the field's linear part R_b U_b k R̄ and the rotation R_b, each (P, N, 3, 3).

    R_b = R_i exp(Σ w_j log(R_iᵀ R_j)) and U_b = Σ w_j U_j over the host i and its three neighbours j.

    Args:
        host: (N,) int64 triangle indices.
        neighbours: (F, 3) int64 triangle indices.
        weights: (N, 4) w, of the host and its neighbours.
        quaternion: (P, F, 4) rotations R.
        logarithm: (P, 3 F, 3) as ``relative_logarithms`` gives them.
        stretch: (P, F, 6) entries of U.
        axes: (F, 3, 3) the constants k R̄ of the rest triangles, metres.
    """
    if kernels.serves(quaternion):
        from surfhead.kernels import cuda

        return cuda.blend_triangles(host, neighbours, weights, quaternion, logarithm, stretch, axes)
    # the logarithms belong to pairs of triangles, of which there are fewer than surfels
    count = len(neighbours)
    pairs = host[:, None] + torch.arange(0, 3 * count, max(count, 1), device=host.device)
    turn = planes.weighted_take(logarithm, pairs, weights[:, 1:])
    blended = geometry.quaternion_multiply(
        planes.take(quaternion, host), geometry.axis_angle_to_quaternion(turn)
    )
    rotation = geometry.unit_quaternion_to_matrix(blended)
    near = torch.cat((host[:, None], neighbours.index_select(0, host)), dim=1)
    stretched = triangles.symmetric(planes.weighted_take(stretch, near, weights))
    affine = planes.matrix_product(rotation, stretched)
    return planes.matrix_product(affine, planes.take(axes[None], host)), rotation

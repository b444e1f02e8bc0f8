"""Surfels' normals against the smooth normal of the rest mesh below them: mean (1 - |n · s|).

A triangle's own normal is a poor guess at a skin's: a head model's surface is meant smooth, and its normal at
a point is that of the three vertices interpolated (Phong, "Illumination for Computer Generated Pictures",
CACM 1975). s is that normal at the surfel's place in its host triangle, a place outside of it taken to the
nearest weights that are not negative. Both normals are in the host's rest frame, so the term is the same in
every pose and pulls on the surfel's rotation alone. It is a weak prior: where pictures tell the relief they
outweigh it, and a surfel that they hardly tell anything of is not left at a slant. 0 without a rig.
"""

from __future__ import annotations

import torch
from torch import Tensor

from surfhead.core.api import Regularizer, RestMesh, Step
from surfhead.maths.geometry import quaternion_to_matrix
from surfhead.maths.triangles import vertex_normals


class MeshNormal(Regularizer):
    """Slant of the surfels against the smooth mesh."""

    name = "mesh_normal"
    summary = "Surfels' normals against the smooth normals of the rest mesh."
    capturable = True
    weight = 0.1

    def __call__(self, step: Step) -> Tensor:
        """The mean over the surfels, in [0, 1]."""
        if step.mesh is None:
            return step.surfels.opacity.sum() * 0.0
        binding = step.binding
        offset = binding.parameters["offset"].detach()
        smooth = smooth_normals(step.mesh.rest, binding.triangle, offset)
        own = quaternion_to_matrix(binding.parameters["quaternion"])[..., 2]
        cosine = (own * smooth).sum(dim=-1).abs()  # a surfel has two sides
        whole = step.mesh.rest.frames.valid[binding.triangle]
        return ((1.0 - cosine) * whole).sum() / max(len(cosine), 1)


def smooth_normals(rest: RestMesh, host: Tensor, offset: Tensor) -> Tensor:
    """The mesh's interpolated normal at each surfel, in its host's frame.

    Args:
        rest: the rig at rest.
        host: (N,) int64 triangles.
        offset: (N, 3) the surfels' centres in their hosts' frames, in units of the hosts' scales.

    Returns:
        (N, 3) unit vectors; those of degenerate triangles mean nothing.
    """
    triangles, frames = rest.topology.triangles, rest.frames  # made with their gradient, if they have one
    vertices, turn = rest.vertices.detach(), frames.rotation.detach()
    centroid, scale = frames.centroid.detach(), frames.scale.detach()
    # per triangle: the corners in its frame and scale, and the normals there; few beside the surfels
    local = (vertices[triangles] - centroid[:, None]) @ turn / scale[:, None, None]
    bent = vertex_normals(vertices, triangles)[triangles] @ turn
    place, (first, second, third) = offset[:, :2], local[host][..., :2].unbind(dim=1)
    whole = _turned(second - first, third - first)
    weights = (
        torch.stack(
            (
                _turned(third - second, place - second),
                _turned(first - third, place - third),
                _turned(second - first, place - first),
            ),
            dim=-1,
        )
        / whole.clamp_min(1e-12)[:, None]
    )
    weights = weights.clamp_min(0.0)
    return torch.nn.functional.normalize((weights[..., None] * bent[host]).sum(dim=1), dim=-1)


def _turned(a: Tensor, b: Tensor) -> Tensor:
    """(N,) twice the signed area between two vectors (N, 2)."""
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]

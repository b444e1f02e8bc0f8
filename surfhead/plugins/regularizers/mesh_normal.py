"""Surfels' normals against the smooth normal of the rest mesh below them: mean (1 - |n · s|).

A triangle's own normal is a poor guess at a skin's: a head model's surface is meant smooth, and its normal at
a point is that of the three vertices interpolated (Phong, "Illumination for Computer Generated Pictures",
CACM 1975). s is that normal at the surfel's place in its host triangle, a place outside of it taken to the
nearest weights that are not negative. Both normals are in the host's rest frame, so the term is the same in
every pose and pulls on the surfel's rotation alone. It is a weak prior: where pictures tell the relief they
outweigh it, and a surfel that they hardly tell anything of is not left at a slant. 0 without a rig.
"""

from __future__ import annotations

import weakref

import torch
from torch import Tensor

from surfhead.core.api import Regularizer, RestMesh, Step
from surfhead.kernels import ops
from surfhead.maths.triangles import vertex_normals


class MeshNormal(Regularizer):
    """Slant of the surfels against the smooth mesh."""

    name = "mesh_normal"
    summary = "Surfels' normals against the smooth normals of the rest mesh."
    capturable = True
    weight = 0.1
    _bent: BentTriangles | None = None  # of the last rest mesh: rigs that learn no identity have one

    def __call__(self, step: Step) -> Tensor:
        """The mean over the surfels, in [0, 1]."""
        if step.mesh is None:
            return step.surfels.opacity.sum() * 0.0
        rest, binding = step.mesh.rest, step.binding
        if self._bent is None or self._bent.rest() is not rest:
            self._bent = BentTriangles(rest)
        return ops.slant(
            binding.parameters["quaternion"],
            binding.parameters["offset"],
            self._bent.table,
            binding.triangle,
            rest.frames.valid,
        )


class BentTriangles:
    """The rest triangles in their own frames, with the normals of their vertices; no gradient flows.

    Args:
        rest: the rig at rest; not kept alive.

    Attributes:
        table: (18, F) what ``ops.smooth_normals`` takes.
    """

    def __init__(self, rest: RestMesh) -> None:
        self.rest = weakref.ref(rest)
        triangles, frames = rest.topology.triangles, rest.frames
        vertices, turn = rest.vertices.detach(), frames.rotation.detach()
        place = (vertices[triangles] - frames.centroid.detach()[:, None]) @ turn
        corners = place[..., :2] / frames.scale.detach()[:, None, None]
        # twice the area of the triangle of a place and one edge is the weight of the corner opposite, linear
        # in the place: (T, 3 corners, 3 factors of x, y and 1)
        start, end = corners.roll(-1, dims=1), corners.roll(-2, dims=1)
        (x, y), (to_x, to_y) = start.unbind(-1), (end - start).unbind(-1)
        weights = torch.stack((-to_y, to_x, to_y * x - to_x * y), dim=-1)
        normals = vertex_normals(vertices, triangles)[triangles] @ turn
        self.table = torch.stack((weights, normals)).permute(0, 2, 3, 1).reshape(18, -1)  # plane by plane

    def normals(self, host: Tensor, offset: Tensor) -> Tensor:
        """The interpolated normals at surfels, in their hosts' frames.

        Args:
            host: (N,) int64 triangles.
            offset: (N, 3) centres in the hosts' frames, in units of the hosts' scales.

        Returns:
            (N, 3) unit vectors; those of degenerate triangles mean nothing.
        """
        return ops.smooth_normals(self.table, host, offset)

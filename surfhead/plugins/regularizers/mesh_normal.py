"""Surfels' normals against the smooth normal of the rest mesh below them: mean (1 - |n · s|).

A triangle's own normal is a poor guess at a skin's: a head model's surface is meant smooth, and its normal at
a point is that of the three vertices interpolated (Phong, "Illumination for Computer Generated Pictures",
CACM 1975). s is that normal at the surfel's place in its host triangle, a place outside of it taken to the
nearest weights that are not negative. Both normals are in the host's rest frame, so the term is the same in
every pose and pulls on the surfel's rotation alone. It is a weak prior: where pictures tell the relief they
outweigh it, and a surfel that they hardly tell anything of is not left at a slant. 0 without a rig.

Interpolated normals say little of a skin whose triangles meet at large angles, and nothing of hair that
stands off the mesh. With the options ``bend`` (b) and ``height`` (h) a surfel counts by

    w = 1 / ((1 + (θ/b)⁴) (1 + (z/h)⁴)),

θ the largest angle between its triangle's normal and those of the vertices, z its height over the triangle.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass

import torch
from torch import Tensor

from surfhead.core.api import Regularizer, RestMesh, Step, option
from surfhead.kernels import ops
from surfhead.maths.triangles import vertex_normals


class MeshNormal(Regularizer):
    """Slant of the surfels against the smooth mesh."""

    name = "mesh_normal"
    summary = "Surfels' normals against the smooth normals of the rest mesh."
    capturable = True
    weight = 0.1

    @dataclass(frozen=True)
    class Options:
        """Where the mesh is believed."""

        bend: float = option(
            0.0, "Degrees between a triangle and its corners at which it counts half; 0: all alike.", low=0
        )
        height: float = option(
            0.0, "Millimetres over the mesh at which a surfel counts half; 0: all alike.", low=0
        )

    options: Options
    _bent: BentTriangles | None = None  # of the last rest mesh: rigs that learn no identity have one
    _trust: Tensor

    def __call__(self, step: Step) -> Tensor:
        """The mean over the surfels, in [0, 1]."""
        if step.mesh is None:
            return step.surfels.opacity.sum() * 0.0
        rest, binding = step.mesh.rest, step.binding
        if self._bent is None or self._bent.rest() is not rest:
            self._bent = BentTriangles(rest)
            self._trust = self._bent.trust(rest, self.options.bend, self.options.height)
        return ops.slant(
            binding.parameters["quaternion"],
            binding.parameters["offset"],
            self._bent.table,
            binding.triangle,
            self._trust,
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

    def trust(self, rest: RestMesh, bend: float, height: float) -> Tensor:
        """(2, F) what ``ops.slant`` takes.

        Args:
            rest: the rig at rest.
            bend: degrees at which a triangle counts half; 0: all alike.
            height: millimetres at which a surfel counts half; 0: all alike.
        """
        weight = rest.frames.valid.to(self.table.dtype)
        if bend > 0.0:
            facing = self.table[11::3].amin(dim=0).clamp(-1.0, 1.0)  # along the triangle's own normal
            trusted = 1.0 / (1.0 + (facing.acos().rad2deg() / bend) ** 4)
            weight = torch.where(rest.frames.valid, trusted, weight)
        scale = rest.frames.scale.detach()
        units = scale * (1e3 / height) if height > 0.0 else torch.zeros_like(scale)
        return torch.stack((weight, units))

    def normals(self, host: Tensor, offset: Tensor) -> Tensor:
        """The interpolated normals at surfels, in their hosts' frames.

        Args:
            host: (N,) int64 triangles.
            offset: (N, 3) centres in the hosts' frames, in units of the hosts' scales.

        Returns:
            (N, 3) unit vectors; those of degenerate triangles mean nothing.
        """
        return ops.smooth_normals(self.table, host, offset)

"""Laplacian of the mesh with and without vertex offsets: the mean length of their difference, in metres.

The Laplacian of a vertex is its position minus the mean of its neighbours', each weighted by the number of
triangles at their edge (the same for all edges inside the surface). It is linear, so the difference
between the rest meshes with and without the offsets is the Laplacian of the offsets, and the term is 0 when
they move the surface as a whole. For rigs with the parameter ``dynamic_offset``; 0 for others. Off (weight 0)
in the published schedule.
"""

from __future__ import annotations

import torch
from torch import Tensor

from surfhead.core.api import Regularizer, Step
from surfhead.plugins.regularizers.vertex_offsets import vertex_offsets


class Laplacian(Regularizer):
    """Roughness of the vertex offsets."""

    name = "laplacian"
    summary = "Laplacian of the mesh with and without vertex offsets."
    capturable = True

    def __call__(self, step: Step) -> Tensor:
        """The mean length of the difference of the Laplacians, metres."""
        offsets = vertex_offsets(step)
        if offsets is None or step.mesh is None:
            return step.surfels.opacity.sum() * 0.0
        triangles = step.mesh.topology.triangles
        # each corner meets the two others: every edge is met once from each side by each triangle
        corner = torch.cat((triangles, triangles), dim=1).reshape(-1)
        other = torch.cat((triangles.roll(-1, 1), triangles.roll(1, 1)), dim=1).reshape(-1)
        degree = offsets.new_zeros(offsets.shape[1]).index_add(0, corner, offsets.new_ones(len(corner)))
        around = torch.zeros_like(offsets).index_add(1, corner, offsets.index_select(1, other))
        mean = around / degree.clamp_min(1.0)[:, None]
        # a vertex without triangles has no neighbours to differ from
        difference = (offsets - mean) * (degree > 0)[:, None]
        lengths: Tensor = torch.linalg.vector_norm(difference, dim=-1)
        return lengths.mean()

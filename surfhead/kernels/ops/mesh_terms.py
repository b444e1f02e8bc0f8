"""Terms of the loss that look at a rig's triangles and their neighbours (method: section 7)."""

from __future__ import annotations

import torch
from torch import Tensor

from surfhead import kernels
from surfhead.maths import geometry, planes

LEAST = 1e-6  # weight of the surfels of a triangle


def _native(tensor: Tensor) -> bool:
    """Whether the native library of a CPU has these terms."""
    if tensor.is_cuda:
        return False
    from surfhead.kernels import cpu_mesh_terms

    return cpu_mesh_terms.serves(tensor)


def surroundings(values: Tensor, weight: Tensor, host: Tensor, neighbours: Tensor) -> Tensor:
    """(N, D) the weighted mean over the surfels of each one's triangle and its three neighbours; a constant.

    Args:
        values: (N, D).
        weight: (N,).
        host: (N,) int64 triangles; a surfel without one, -1, has its own values for surroundings.
        neighbours: (F, 3) int64 triangles across the edges. At an open edge it is the triangle itself, which
            then counts twice.
    """
    if _native(values):
        from surfhead.kernels import cpu_mesh_terms

        return cpu_mesh_terms.surroundings(values, weight, host, neighbours)
    values, bound = values.detach(), host >= 0
    share = torch.where(bound, weight.detach(), 0.0)[:, None]
    host = host.clamp_min(0)
    rows = torch.cat((values * share, share), dim=1)
    each = rows.new_zeros(len(neighbours), rows.shape[1]).index_add(0, host, rows)
    around = each + each.index_select(0, neighbours.reshape(-1)).reshape(*neighbours.shape, -1).sum(dim=1)
    found = around.index_select(0, host)
    return torch.where(bound[:, None], found[:, :-1] / found[:, -1:].clamp_min(LEAST), values)


def roughness(colour: Tensor, weight: Tensor, host: Tensor, neighbours: Tensor, edge: float) -> Tensor:
    """The mean over pairs of neighbours that both have surfels of sqrt(|difference|² + edge²) - edge.

    The difference is that of the triangles' colours, means over their surfels.

    Args:
        colour: (N, 3); it alone learns.
        weight: (N,) of the surfels in these means; constants.
        host: (N,) int64 triangles.
        neighbours: (F, 3) int64 triangles across the edges, the triangle itself at an open one.
        edge: differences beyond it count as edges, in units of colour.
    """
    if _native(colour):
        from surfhead.kernels import cpu_mesh_terms

        found: Tensor = cpu_mesh_terms.roughness(colour, weight.detach(), host, neighbours, edge)[0]
        return found
    count = len(neighbours)
    share = weight.detach()[:, None]
    rows = torch.cat((colour * share, share), dim=1)
    total = rows.new_zeros(count, 4).index_add(0, host, rows)
    mean = total[:, :3] / total[:, 3:].clamp_min(LEAST)
    there = total[:, 3].detach() > LEAST
    across = neighbours.reshape(-1)
    difference = mean.repeat_interleave(3, dim=0, output_size=3 * count) - mean.index_select(0, across)
    both = there.repeat_interleave(3, output_size=3 * count) & there.index_select(0, across)
    own = torch.arange(count, device=across.device).repeat_interleave(3, output_size=3 * count)
    counts = (both & (across != own)).to(mean.dtype)
    length = (difference.square().sum(dim=1) + edge**2).sqrt() - edge
    return (length * counts).sum() / counts.sum().clamp_min(1.0)


def smooth_normals(table: Tensor, host: Tensor, offset: Tensor) -> Tensor:
    """(N, 3) unit normals of a smooth mesh at surfels, in their hosts' frames, by a table of its triangles.

    Args:
        table: (18, F), plane by plane: for each corner the factors of x, y and 1 that give its weight at a
            place, then the corners' normals.
        host: (N,) int64 triangles.
        offset: (N, 3) places in the hosts' frames, in units of the hosts' scales.
    """
    weights, normals = table.index_select(1, host).view(2, 3, 3, -1)
    weight = (weights[:, 0] * offset[:, 0] + weights[:, 1] * offset[:, 1] + weights[:, 2]).clamp_min(0.0)
    summed = (weight[:, None] * normals).sum(dim=0)
    unit: Tensor = summed / summed.square().sum(dim=0).sqrt().clamp_min(1e-12)
    return unit.T


def slant(quaternion: Tensor, offset: Tensor, table: Tensor, host: Tensor, trust: Tensor) -> Tensor:
    """The mean over surfels of w (1 - |n · s|), n the rotation's third axis and s the ``smooth_normals``.

    Args:
        quaternion: (N, 4) rotations of any length; they alone learn.
        offset, table, host: as ``smooth_normals`` takes them.
        trust: (2, F) of a triangle its weight t, not below 0, and the units u of height in its scale: a
            surfel at height z counts by w = t / (1 + (u z)⁴). A degenerate one's t is 0.
    """
    if _native(quaternion):
        from surfhead.kernels import cpu_mesh_terms

        found: Tensor = cpu_mesh_terms.slant(quaternion, offset.detach(), table, host, trust)[0]
        return found
    smooth, own = smooth_normals(table, host, offset.detach()), geometry.third_axis(quaternion)
    cosine = planes.dot(planes.planes(own), planes.planes(smooth)).abs()  # a surfel has two sides
    weight, units = trust.index_select(1, host)
    height = (units * offset[:, 2].detach()).square()
    total: Tensor = ((1.0 - cosine) * weight / (1.0 + height * height)).sum()
    return total / max(len(cosine), 1)


def excess(value: Tensor, limit: float, seen: Tensor, host: Tensor, each: bool = False) -> Tensor:
    """How far surfels go beyond a limit: the mean over those seen on triangles of relu(|x| - limit).

    Args:
        value: (N, D) x.
        limit: in units of the values, or of their exponentials.
        seen: (N,) bool.
        host: (N,) int64 triangles; -1 where there is none.
        each: the limit holds for the exponential of each number: the mean of |relu(exp(x) - limit)|.
    """
    if _native(value):
        from surfhead.kernels import cpu_mesh_terms

        found: Tensor = cpu_mesh_terms.excess(value, seen, host, limit, each)[0]
        return found
    if value.is_cuda and kernels.serves(value):
        from surfhead.kernels import cuda

        return cuda.excess(value, seen, host, limit, each)
    if each:
        beyond = torch.linalg.vector_norm(torch.relu(value.exp() - limit), dim=-1)
    else:
        beyond = torch.relu(torch.linalg.vector_norm(value, dim=-1) - limit)
    weight = (seen & (host >= 0)).to(beyond.dtype)
    mean: Tensor = (beyond * weight).sum() / weight.sum().clamp_min(1.0)
    return mean

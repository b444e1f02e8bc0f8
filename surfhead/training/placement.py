"""Where the first surfels sit on the rig's triangles."""

from __future__ import annotations

import torch
from torch import Tensor

from surfhead.core.types import RestMesh


def shares(rest: RestMesh, total: int, most: int = 0) -> Tensor:
    """(F,) int64 surfels of each triangle: about ``total``, by area, at least one each.

    ``most`` is the largest number of all, as far as one a triangle allows; 0: no limit.
    """
    corners = rest.vertices.detach().cpu().double()[rest.topology.triangles.cpu()]
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = torch.linalg.vector_norm(torch.linalg.cross(first, second), dim=-1)
    share = area / area.sum().clamp_min(1e-30)
    counts: Tensor = (share * total).round().long().clamp_min(1)
    if 0 < most < int(counts.sum()):
        more = share * max(most - len(share), 0)
        counts = 1 + more.floor().long()
        left = max(most - int(counts.sum()), 0)  # to those whose share was cut most
        counts[more.frac().argsort(descending=True, stable=True)[:left]] += 1
    return counts


def scatter(rest: RestMesh, counts: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Surfels spread evenly over the triangles' planes, together as large as one alone.

    A triangle's only surfel sits at its centroid with the scale 1; n of them are drawn uniformly in the
    triangle, with the scale 1/√n.

    Args:
        rest: the rig at rest.
        counts: (F,) int64 surfels of each triangle.
        generator: of the places, on the CPU.

    Returns:
        (N,) int64 hosts, (N, 3) offsets in the hosts' frames in units of their scale, and (N, 2) log scales.
    """
    host = torch.arange(len(counts)).repeat_interleave(counts)
    frames = rest.to("cpu").frames
    corners = rest.vertices.detach().cpu()[rest.topology.triangles.cpu()][host]  # (N, 3 corners, 3)
    draw = torch.rand(len(host), 2, generator=generator)
    folded = draw.sum(dim=-1, keepdim=True) > 1
    draw = torch.where(folded, 1 - draw, draw)
    weights = torch.cat((1 - draw.sum(dim=-1, keepdim=True), draw), dim=-1)
    place = (weights[..., None] * corners).sum(dim=1) - frames.centroid[host]
    local = torch.einsum("nij,ni->nj", frames.rotation[host], place) / frames.scale[host][:, None]
    many = counts[host]
    alone = (many == 1) | ~frames.valid[host]
    offset = torch.where(alone[:, None], 0.0, local)
    offset[:, 2] = 0.0
    log_scale = -0.5 * many.float().log()
    return host, offset, log_scale[:, None].expand(-1, 2).contiguous()

"""Where a mesh ends, such as at a cut neck, surfels stand inside: pictures show that nothing is beyond.

What closes holes is round, and drawn no finer than a pixel. At a rim it would be seen from the front through
the open neck, as a line below the far wall.
"""

from __future__ import annotations

import torch
from torch import Tensor

from surfhead.core.types import RestMesh
from surfhead.maths.geometry import quaternion_to_matrix

CLEAR = 0.001  # metres left free beside the rim: a pixel or two
REACH = 2.0  # standard deviations that lie inside of that
FLAT = 0.4  # least extent across the rim, in units of what it would be elsewhere
WITHIN = 0.6  # of a triangle's extent from the rim, at most, that a surfel is moved to


def inside_rims(
    rest: RestMesh, host: Tensor, places: Tensor, size: Tensor, turn: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Move surfels away from the mesh's open edges, and flatten them along these, as far as they reach over.

    Args:
        rest: the mesh.
        host: (K,) int64 their triangles.
        places: (K, 3) offsets in the triangles' frames and units.
        size: (K, 2) standard deviations in the same units.
        turn: (K, 4) quaternions about the triangles' normals.

    Returns:
        Places, sizes and quaternions; those of surfels away from rims are the given ones.
    """
    frames = rest.frames
    point, inward, ends = (value[host] for value in _ends(rest))  # (K, 6, 3), (K, 6, 3), (K, 6)
    scale, rotation = frames.scale[host].to(places), frames.rotation[host].to(places)
    local = torch.einsum("kji,kej->kei", rotation, point.to(places) - frames.centroid[host, None].to(places))
    away = torch.einsum("kji,kej->kei", rotation, inward.to(places))[..., :2]
    away = torch.nn.functional.normalize(away, dim=-1)
    corners = rest.vertices[rest.topology.triangles[host]] - frames.centroid[host, None]
    corners = torch.einsum("kji,kej->kei", rotation, corners.to(places))[..., :2]
    places, size, turn = places.clone(), size.clone(), turn.clone()
    for number in range(ends.shape[1]):
        normal, start = away[:, number], local[:, number, :2]
        axes = quaternion_to_matrix(turn)[:, :2, :2]
        along = torch.stack((normal[:, 1], -normal[:, 0]), dim=1)
        extent = [
            ((axes * (size * scale[:, None])[:, None, :]).mT @ way[:, :, None])[..., 0].norm(dim=1)
            for way in (along, normal)
        ]
        across = extent[1].clamp_min(1e-9)
        distance = ((places[:, :2] * scale[:, None] - start) * normal).sum(dim=1)
        tall = ((corners - start[:, None]) * normal[:, None]).sum(dim=2).amax(dim=1)
        flat = ((distance - CLEAR) / (REACH * across)).clamp(FLAT, 1.0)
        wanted = distance.maximum((CLEAR + REACH * flat * across).minimum(WITHIN * tall))
        over = ends[:, number] & ((flat < 1.0) | (wanted > distance))
        moved = ((wanted - distance) / scale)[:, None] * normal
        places[:, :2] = torch.where(over[:, None], places[:, :2] + moved, places[:, :2])
        shape = torch.stack((extent[0], flat * across), dim=1) / scale[:, None]
        size = torch.where(over[:, None], shape, size)
        half = 0.5 * torch.atan2(along[:, 1], along[:, 0])
        still = torch.zeros_like(half)
        turn = torch.where(over[:, None], torch.stack((half.cos(), still, still, half.sin()), dim=1), turn)
    return places, size, turn


def _ends(rest: RestMesh) -> tuple[Tensor, Tensor, Tensor]:
    """Where the mesh ends: of each triangle's three edges and three corners, those that lie on a rim.

    Returns:
        (F, 6, 3) a point of each, (F, 6, 3) the unit vector from there into the surface, and (F, 6) bool,
        whether the mesh ends there.
    """
    triangles, neighbours = rest.topology.triangles, rest.topology.neighbours
    here = torch.arange(len(triangles), device=triangles.device)[:, None]
    open_ = neighbours == here  # (F, 3): v0v1, v1v2, v2v0
    corners = rest.vertices[triangles]
    edges = corners.roll(-1, dims=1) - corners
    normal = rest.frames.rotation[:, None, :, 2].expand_as(edges)
    inward = torch.nn.functional.normalize(torch.linalg.cross(normal, edges), dim=-1)
    total = torch.zeros_like(rest.vertices)
    for corner in (triangles, triangles.roll(-1, dims=1)):
        total = total.index_add(0, corner[open_], inward[open_])
    rim = total.norm(dim=1) > 1e-6
    mean = torch.nn.functional.normalize(total, dim=1)
    return (
        torch.cat((corners, corners), dim=1),
        torch.cat((inward, mean[triangles]), dim=1),
        torch.cat((open_, rim[triangles]), dim=1),
    )

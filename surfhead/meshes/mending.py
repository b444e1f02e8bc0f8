"""Making a fused surface tidy: a clean cut, closed holes, what nobody saw smoothed, fewer triangles."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surfhead.meshes.surface_mesh import SurfaceMesh

MOST_PASSES = 12  # of closing what closing has opened
AGGRESSION = 4  # of decimation, 0 slow and faithful to 10; fast-simplification's own is 7


def boundary_loops(triangles: Tensor) -> list[list[int]]:
    """The closed rings of open edges, as vertices in the direction in which a patch would go round them.

    Args:
        triangles: (F, 3), wound alike.
    """
    faces = triangles.numpy()
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    count = int(faces.max()) + 1 if len(faces) else 0
    keys = directed[:, 0] * count + directed[:, 1]
    opposite = directed[:, 1] * count + directed[:, 0]
    open_edges = directed[~np.isin(opposite, keys)]
    after: dict[int, list[int]] = defaultdict(list)
    for start, end in open_edges.tolist():
        after[end].append(start)  # against the triangles' direction
    loops: list[list[int]] = []
    for first in list(after):
        while after[first]:
            path, place, here = [first], {first: 0}, after[first].pop()
            while True:
                if here in place:  # a ring is complete; what led to it goes on
                    start = place[here]
                    if len(path) - start >= 3:
                        loops.append(path[start:])
                    for vertex in path[start + 1 :]:
                        del place[vertex]
                    del path[start + 1 :]
                else:
                    place[here] = len(path)
                    path.append(here)
                if here == first or not after[here]:
                    break
                here = after[here].pop()
    return loops


def perimeter(vertices: Tensor, loop: list[int]) -> float:
    """The length of a closed ring, metres."""
    ring = vertices[loop]
    return float(torch.linalg.vector_norm(ring - ring.roll(-1, 0), dim=1).sum())


def closed(mesh: SurfaceMesh, longest: float = math.inf) -> SurfaceMesh:
    """The mesh with a fan of triangles over each hole whose rim is at most ``longest`` metres.

    A vertex that several rims touch is doubled for each, so that the surface stays one that two triangles
    share every edge of.
    """
    vertices, triangles = [mesh.vertices], [mesh.triangles]
    count = len(mesh.vertices)
    for loop in boundary_loops(mesh.triangles):
        if perimeter(mesh.vertices, loop) > longest:
            continue
        ring = torch.tensor(loop)
        vertices.append(mesh.vertices[ring].mean(dim=0, keepdim=True))
        triangles.append(torch.stack([ring, ring.roll(-1), torch.full_like(ring, count)], dim=1))
        count += 1
    return mesh if len(triangles) == 1 else SurfaceMesh.of(torch.cat(vertices), torch.cat(triangles))


def watertight(mesh: SurfaceMesh) -> SurfaceMesh:
    """The mesh with every hole closed, so that every edge has two triangles.

    Triangles at an edge that more than two share are taken out first, and what they leave is closed again,
    a few times if need be.
    """
    for _ in range(MOST_PASSES):
        faces = mesh.triangles.numpy()
        edges = np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], axis=2), axis=2).reshape(-1, 2)
        places, counts = np.unique(edges, axis=0, return_inverse=True, return_counts=True)[1:]
        crowded = (counts[places.reshape(-1)] > 2).reshape(-1, 3).any(axis=1)
        if not crowded.any() and (counts == 2).all():
            break
        kept = SurfaceMesh.of(mesh.vertices, torch.from_numpy(faces[~crowded])).largest(1)
        mesh = closed(kept)
    return mesh


def cut_off(mesh: SurfaceMesh, origin: Tensor, normal: Tensor) -> SurfaceMesh:
    """The part of a mesh on the side of a plane to which ``normal`` points, with a straight rim.

    Args:
        origin: (3,) a point of the plane, metres.
        normal: (3,) unit.
    """
    from trimesh.intersections import slice_faces_plane

    given = (mesh.vertices.double().numpy(), mesh.triangles.numpy())
    sliced: Any = slice_faces_plane
    vertices, triangles = sliced(*given, normal.double().numpy(), origin.double().numpy())[:2]
    points, places = np.unique(np.round(vertices, 9), axis=0, return_inverse=True)  # a cut edge gives two
    faces = places.reshape(-1)[triangles]
    whole = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    return SurfaceMesh.of(torch.from_numpy(points), torch.from_numpy(faces[whole]))


def rim_plane(vertices: Tensor, triangles: Tensor, above: float) -> tuple[Tensor, Tensor] | None:
    """The plane by which a head is cut off: above the longest open rim of its rig's mesh.

    Args:
        vertices: (V, 3) of the posed rig's mesh, metres.
        triangles: (F, 3) of it.
        above: metres from the rim's highest point.

    Returns:
        A point of it and its unit normal, which points to the head; None where the mesh is closed.
    """
    loops = boundary_loops(triangles)
    if not loops:
        return None
    ring = vertices[max(loops, key=lambda loop: perimeter(vertices, loop))].double()
    centre = ring.mean(dim=0)
    normal = torch.linalg.svd(ring - centre, full_matrices=False)[2][2]
    inward = vertices.double().mean(dim=0) - centre
    normal = normal if float(normal @ inward) >= 0.0 else -normal
    reach = ((ring - centre) @ normal).max() + above
    return centre + reach * normal, normal


def smoothed_where(mesh: SurfaceMesh, share: Tensor, steps: int) -> SurfaceMesh:
    """The mesh with vertices moved to the mean of their neighbours, as much as ``share`` says; rims stay.

    Args:
        share: (V,) in [0, 1]: 0 keeps a vertex.
        steps: how often.
    """
    from scipy.sparse import coo_matrix, diags

    if steps <= 0 or not bool((share > 0).any()):
        return mesh
    faces, size = mesh.triangles.numpy(), len(mesh.vertices)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    ones = np.ones(len(edges), dtype=np.float64)
    links = coo_matrix((ones, (edges[:, 0], edges[:, 1])), shape=(size, size)).tocsr()
    links = links + links.T
    rims = np.unique(np.concatenate((links == 1).nonzero()))
    links.data[:] = 1.0
    mean = diags(1.0 / np.maximum(np.asarray(links.sum(axis=1)).ravel(), 1.0)) @ links
    weight = share.double().clamp(0.0, 1.0).numpy()[:, None].copy()
    weight[rims] = 0.0
    points = mesh.vertices.double().numpy()
    for _ in range(steps):
        points = points + weight * (mean @ points - points)
    return SurfaceMesh.of(torch.from_numpy(points), mesh.triangles, mesh.colours)


def decimated(mesh: SurfaceMesh, count: int) -> SurfaceMesh:
    """The mesh with at most about ``count`` triangles; 0: as it is.

    Edges are collapsed where that changes the surface least (Garland and Heckbert, "Surface simplification
    using quadric error metrics", SIGGRAPH 1997), by the package fast-simplification.
    """
    if count <= 0 or len(mesh.triangles) <= count:
        return mesh
    import fast_simplification

    points, faces = fast_simplification.simplify(
        mesh.vertices.numpy(), mesh.triangles.numpy().astype(np.int32), target_count=count, agg=AGGRESSION
    )
    return SurfaceMesh.of(torch.from_numpy(points), torch.from_numpy(faces.astype(np.int64)))

"""What no training view constrains is tied to what is known, before an avatar is handed over.

Two estimates, both the mean of a Gaussian posterior, that leave alone what the views determine:

- **Directions.** The K coefficients c of a colour's functions of the direction are replaced by the solution
  of (A + Λ) c' = A c + Λ m, with A the information the training views hold about them (``Observation``), m
  the constant colour that these views saw on average, and Λ a diagonal stiffness that grows with the
  functions' degree. Along combinations the views measured well, A is large and c' = c; along those that
  hardly a view measured, where harmonics run away outside the cone of cameras, the colour goes back to what
  was seen.
- **Neighbours.** A surfel hardly seen takes the values (of parameters that declare ``unseen="neighbours"``)
  that its surroundings on the rest mesh suggest: per triangle t, the solution of (W + μ L) t = W v, with L
  the Laplacian of the mesh's triangles, W how well their surfels are known and v their mean. It is blended
  in by 1 − known. Parameters that declare ``unseen="initial"`` go back to their start in the same measure.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.core.scene import Scene
from surfhead.training.observation import Observation, observe

STIFFNESS = 0.2  # of Λ, in weights at which a surfel is half known
COUPLING = 0.05  # μ, relative to a triangle whose surfels are well known
FLOOR = 1e-6  # of W: a part of the mesh that nothing saw has the mean of all
CHUNK = 16_384  # surfels whose systems are solved together


@torch.no_grad()
def settle(avatar: Avatar, scene: Scene, views: np.ndarray) -> None:
    """Tie what the training views do not constrain to what they do; sets ``avatar.observed``.

    Args:
        avatar: a trained avatar; its parameters change in place.
        scene, views: what it was trained on.
    """
    with torch.enable_grad():
        seen = observe(avatar, scene, views)
    settle_directions(avatar, seen)
    if avatar.deformer.rig_bound:
        settle_neighbours(avatar, seen.known)
    avatar.observed = seen.known


@torch.no_grad()
def settle_directions(avatar: Avatar, seen: Observation) -> None:
    """Hold the coefficients of directions that no view measured to the smoothest that agrees."""
    directional = avatar.appearance.directional()
    if directional is None or seen.information is None or len(directional.stiffness) == 0:
        return
    parameters = avatar.surfels.parameters
    count = len(avatar.surfels)
    rows = [parameters[name].reshape(count, -1, 3) for name in directional.names]
    coefficients = torch.cat(rows, dim=1)
    stiffness = seen.information.new_tensor(directional.stiffness).double()
    constant = bool(stiffness[0] == 0)  # the first function is one
    hold = STIFFNESS * seen.half * torch.where(stiffness == 0, 1.0, stiffness)
    solved = torch.empty_like(coefficients)
    for first in range(0, count, CHUNK):
        part = slice(first, first + CHUNK)
        information = seen.information[part].double()
        given = coefficients[part].double()
        mean = torch.zeros_like(given)
        if constant:
            first_row = information[:, :1]
            total = first_row[..., :1]
            seen_colour = first_row @ given / total.clamp_min(1e-9)
            mean[:, :1] = torch.where(total > 1e-9, seen_colour, given[:, :1])
        system = information + torch.diag(hold)
        right = information @ given + hold[:, None] * mean
        solved[part] = torch.linalg.solve(system, right).to(solved)
    at = 0
    for name, row in zip(directional.names, rows, strict=True):
        size = row.shape[1]
        parameters[name].copy_(solved[:, at : at + size].reshape(parameters[name].shape))
        at += size


@torch.no_grad()
def settle_neighbours(avatar: Avatar, known: Tensor, weight: Tensor | None = None) -> None:
    """Give surfels hardly seen what their surroundings on the rest mesh suggest, or their declared start.

    Args:
        avatar: changed in place.
        known: (N,) in [0, 1], how well each surfel is.
        weight: (N,) in [0, 1], how much each tells of its surroundings; by default as much as it is known.
    """
    surfels = avatar.surfels
    weight = known if weight is None else weight
    neighbours = avatar.rig.rest().topology.neighbours.cpu().numpy()
    generator = torch.Generator().manual_seed(0)
    tied = {
        name: surfels.parameters[name].reshape(len(surfels), -1)
        for name, spec in surfels.specs.items()
        if spec.unseen == "neighbours"
    }
    # all at once, as it is one system for all of them
    flat = torch.cat([known.new_zeros(len(surfels), 0), *tied.values()], dim=1)
    found = over_mesh(flat, weight, surfels.triangle, neighbours)[surfels.triangle]
    sizes = [rows.shape[1] for rows in tied.values()]
    suggested = dict(zip(tied, torch.split(found, sizes, dim=1), strict=True))
    for name, spec in surfels.specs.items():
        value = surfels.parameters[name]
        if spec.unseen == "neighbours":
            guess = suggested[name].reshape(value.shape)
        elif spec.unseen == "initial":
            guess = spec.start(len(value), generator).to(value)
        elif spec.unseen == "surface":
            guess = value.clone()
            guess[:, 2] = 0.0
        else:
            continue
        share = known.reshape(-1, *[1] * (value.ndim - 1))
        value.copy_(share * value + (1.0 - share) * guess)


def over_mesh(values: Tensor, known: Tensor, triangle: Tensor, neighbours: np.ndarray) -> Tensor:
    """(F, D) values of the triangles: the mean of their surfels where known, else what lies between.

    Args:
        values: (N, D) of the surfels.
        known: (N,) in [0, 1], how well each is known.
        triangle: (N,) int64 hosts.
        neighbours: (F, 3) triangles across each edge; the triangle itself where an edge is open.
    """
    from scipy import sparse
    from scipy.sparse.linalg import splu

    count = len(neighbours)
    weight = torch.zeros(count, dtype=torch.float64, device=values.device)
    weight = weight.index_add(0, triangle, known.double())
    total = torch.zeros(count, values.shape[1], dtype=torch.float64, device=values.device)
    total = total.index_add(0, triangle, known.double()[:, None] * values.double())
    overall = total.sum(dim=0) / weight.sum().clamp_min(1e-12)
    # a triangle with many surfels is not better known than one with a well-known surfel
    sure = weight / (weight + 1.0)
    mean = total / weight.clamp_min(1e-12)[:, None]
    first = np.repeat(np.arange(count), 3)
    second = neighbours.reshape(-1)
    inner = first != second
    links = sparse.coo_matrix((np.ones(int(inner.sum())), (first[inner], second[inner])), (count, count))
    links = links.maximum(links.T).tocsr()
    laplacian = sparse.diags(np.asarray(links.sum(axis=1)).ravel()) - links
    solid = sure.cpu().numpy()
    right = solid[:, None] * mean.cpu().numpy() + FLOOR * overall.cpu().numpy()
    system = sparse.diags(solid + FLOOR) + COUPLING * laplacian
    return torch.from_numpy(splu(system.tocsc()).solve(right)).to(values)

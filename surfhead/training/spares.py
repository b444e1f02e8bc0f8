"""Surfels that are added after the last step, where idle ones do not suffice to close holes.

They are appended as copies that show nothing. What closes holes brings them where they are wanted; those that
show nothing in the end go again.
"""

from __future__ import annotations

import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.avatars.surfels import Selection, Surfels

SHARE = 0.1  # of the surfels: at most so many are added
NOTHING = -20.0  # raw opacity of what shows nothing


def room(count: int, most: int) -> int:
    """How many surfels may be added to ``count``, of which there may be at most ``most``; 0: no limit."""
    share = int(SHARE * count)
    return max(min(share, most - count), 0) if most > 0 else share


@torch.no_grad()
def add_spares(surfels: Surfels, number: int) -> Tensor:
    """Append surfels that show nothing; gives their indices, (number,) int64."""
    first = len(surfels)
    if number > 0:
        surfels.select(Selection.grown(first, surfels.triangle.new_zeros(number)))
        surfels.parameters["opacity"][first:] = NOTHING
    return torch.arange(first, len(surfels), device=surfels.triangle.device)


@torch.no_grad()
def drop_spares(surfels: Surfels, first: int) -> None:
    """Remove those from the index ``first`` on that still show nothing."""
    shown = surfels.parameters["opacity"].reshape(len(surfels)) > NOTHING
    shown[:first] = True
    if not bool(shown.all()):
        source = torch.nonzero(shown)[:, 0]
        surfels.select(Selection(source, torch.zeros_like(source, dtype=torch.bool)))


@torch.no_grad()
def resemble(avatar: Avatar, which: Tensor, triangles: Tensor, weight: Tensor) -> None:
    """Give surfels all that the best seen ones of other triangles have learnt, but not their hosts.

    Args:
        avatar: changed in place.
        which: (K,) int64 surfels.
        triangles: (K,) int64 of the rig. One without surfels is like the nearest that has some.
        weight: (N,) how well each surfel is seen; of those that are not finite nothing is taken.
    """
    surfels = avatar.surfels
    taken = torch.nonzero(weight.isfinite())[:, 0]
    order = taken[weight[taken].argsort(stable=True)]
    centre = avatar.rig.rest().frames.centroid
    place = torch.full((len(centre),), -1, device=order.device)
    rank = torch.arange(len(order), device=order.device)
    place = place.scatter_reduce(0, surfels.triangle[order], rank, "amax")  # the best seen comes last
    held = torch.nonzero(place >= 0)[:, 0]
    wanted, back = torch.unique(triangles, return_inverse=True)
    nearest = held[torch.cdist(centre[wanted], centre[held]).argmin(dim=1)]
    source = order[place[torch.where(place[wanted] >= 0, wanted, nearest)]][back]
    for value in surfels.parameters.values():
        value[which] = value[source]

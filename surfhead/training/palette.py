"""Colours that aslant pictures alone have taught are taken from what is seen straight round about.

Where cameras look along a surface, its surfels hardly differ from what lies before and behind them, and
albedo makes up for what light or form do not explain: greyish violet beside hair, reddish lines down a nape.
These surfels count as known. The mean of what lies round them would spread a border of hair over a
centimetre, so each is compared with single colours round it that pictures show straight (its palette). Where
none of them is like it, it takes what comes nearest, by colour and by place, of these and of what is seen
aslant and is like them: hair stays hair and skin stays skin.
"""

from __future__ import annotations

import logging

import numpy as np
import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.core.errors import cause
from surfhead.core.parameters import BASE_COLOUR, with_role
from surfhead.core.scene import Scene
from surfhead.training.composition import INNER
from surfhead.training.judging_pictures import judging
from surfhead.training.observation import Observation
from surfhead.training.recolouring import spare_pictures

log = logging.getLogger("surfhead")
CELL = 0.003  # metres: of each cube of this side the best seen surfel is in the palette
TURNED = 0.02  # metres that count as much as normals a radian apart: an ear is not what lies behind it
REACH = 0.06  # metres: what lies further says nothing
AMONG = 96  # of the palette, at most, that are looked at
FEW = 4  # of them, the likest, make the colour that is taken
FAR = 0.01  # metres that count as much as a difference of colours by ``UNLIKE``
UNLIKE = 0.1
OWN = 0.9  # share of what is seen straight that is nearer to its palette than an outlier is
SAMPLE = 4096  # of those seen straight, by which that is judged
CHUNK = 4096  # surfels that are looked at together
UNMENDED = "Colours that were seen aslant alone stay as they were learnt"


def palette(
    places: Tensor, normals: Tensor, colours: Tensor, straight: Tensor, half: float
) -> tuple[Tensor, Tensor]:
    """What colours surfels that are seen aslant alone should have.

    Args:
        places: (N, 3) at rest, metres.
        normals: (N, 3) of their triangles at rest.
        colours: (N, 3) RGB in [0, 1].
        straight: (N,) pixels that show each one straight.
        half: of them, with which it is half known.

    Returns:
        (M,) int64 the surfels to be changed, and (M, 3) their colours.
    """
    known = straight / (straight + half)
    sure = torch.nonzero(known > 0.5)[:, 0]
    nothing = sure[:0], colours[:0]
    if len(sure) <= FEW:
        return nothing
    where = torch.cat((places, TURNED * normals), dim=1)
    chosen = _spread(places, straight, sure)
    doubtful = torch.nonzero(known <= 0.5)[:, 0]
    step = max(len(sure) // SAMPLE, 1)
    _, own = _nearest(where, colours, chosen, sure[::step], skip=True)
    _, away = _nearest(where, colours, chosen, doubtful)
    own = own[own.isfinite()]
    if not len(own):  # they are so far apart that none tells of another
        return nothing
    limit = float(own.quantile(OWN))
    usual = away <= limit  # tells of those beside it, too
    chosen = _spread(places, straight, torch.cat((sure, doubtful[usual])))
    outliers, away = doubtful[~usual & away.isfinite()], away[~usual & away.isfinite()]
    nearest, _ = _nearest(where, colours, chosen, outliers)
    share = (away / max(limit, 1e-6) - 1.0).clamp(0.0, 1.0) * (1.0 - known[outliers])
    log.debug("%d of %d colours seen aslant alone are outliers.", len(outliers), len(doubtful))
    return outliers, torch.lerp(colours[outliers], nearest, share[:, None])


def _spread(places: Tensor, straight: Tensor, sure: Tensor) -> Tensor:
    """(P,) int64 of the surfels ``sure`` the best seen of each cube."""
    cubes = (places[sure] / CELL).floor().long()
    _, cube = torch.unique(cubes, dim=0, return_inverse=True)
    order = sure[straight[sure].argsort(stable=True)]
    ranked = cube[straight[sure].argsort(stable=True)]
    best = torch.full((int(cube.max()) + 1,), -1, device=sure.device)
    rank = torch.arange(len(order), device=sure.device)
    return order[best.scatter_reduce(0, ranked, rank, "amax")]


def _nearest(
    where: Tensor, colours: Tensor, chosen: Tensor, wanted: Tensor, skip: bool = False
) -> tuple[Tensor, Tensor]:
    """(M, 3) the mean of the likest colours round ``wanted``, (M,) how far off it is; infinite: none near."""
    from scipy.spatial import cKDTree

    tree = cKDTree(where[chosen].double().cpu().numpy())
    count = min(AMONG, len(chosen))
    found, away = [colours[:0]], [colours[:0, 0]]
    hues = torch.cat((colours[chosen], colours.new_zeros(1, 3)))
    for part in torch.split(wanted, CHUNK):
        distance, index = tree.query(
            where[part].double().cpu().numpy(), k=count, distance_upper_bound=REACH, workers=1
        )
        distance = torch.from_numpy(distance.reshape(len(part), count)).to(colours)
        index = torch.from_numpy(index.reshape(len(part), count)).to(chosen.device)
        others = hues[index]
        unlike = (others - colours[part, None]).norm(dim=2)
        score = unlike / UNLIKE + (distance / FAR).square()
        if skip:
            score = torch.where(distance < 1e-9, torch.inf, score)
        least, best = score.topk(min(FEW, count), dim=1, largest=False)
        likest = torch.gather(others, 1, best[..., None].expand(-1, -1, 3))
        same = (likest - likest[:, :1]).norm(dim=2) < UNLIKE  # hair and skin are not to be mixed
        weight = (same & least.isfinite()).to(colours)
        total = weight.sum(dim=1, keepdim=True)
        mean = (likest * weight[..., None]).sum(dim=1) / total.clamp_min(1.0)
        found.append(mean)
        away.append(torch.where(total[:, 0] > 0, (mean - colours[part]).norm(dim=1), torch.inf))
    return torch.cat(found), torch.cat(away)


@torch.no_grad()
def mend(avatar: Avatar, scene: Scene, views: np.ndarray, seen: Observation, images: int = 0) -> Tensor:
    """Give surfels seen aslant alone, where they are like nothing round them, the likest colour round them.

    As far as training pictures hardly get worse by it. ``INNER`` regions are left alone, as they come into
    sight in other ways.

    Args:
        avatar: its base colours change in place.
        scene, views: what it was trained on.
        seen: how well these views know the surfels.
        images: of the run; 0: many.

    Returns:
        (M,) int64, the surfels that were changed; none where that fails, which is told.
    """
    surfels = avatar.surfels
    nothing, name = surfels.triangle[:0], with_role(surfels.specs, BASE_COLOUR)
    if name is None or not avatar.deformer.rig_bound:
        return nothing
    raw = surfels.parameters[name]
    former = raw.clone()
    try:
        changed = _mended(avatar, name, seen)
        if not len(changed):
            return nothing
        return spare_pictures(avatar, scene, judging(views, images), {name: former}, changed)
    except Exception as error:  # memory is short, say: no reason to lose a run
        raw.copy_(former)
        log.warning("%s: %s", UNMENDED, cause(error))
        return nothing


def _mended(avatar: Avatar, name: str, seen: Observation) -> Tensor:
    """(M,) int64, the surfels that got another base colour, which is the parameter of this name."""
    surfels = avatar.surfels
    if seen.straight is None:
        return surfels.triangle[:0]
    spec, raw, frames = surfels.specs[name], surfels.parameters[name], avatar.rig.rest().frames
    host = surfels.triangle
    turned = torch.einsum("nij,nj->ni", frames.rotation[host], surfels.parameters["offset"])
    places = frames.centroid[host] + frames.scale[host, None] * turned
    outer = torch.ones_like(host, dtype=torch.bool)
    for region in INNER:
        outer[surfels.regions.get(region, host[:0])] = False
    outer = torch.nonzero(outer)[:, 0]
    normals, straight = frames.rotation[host[outer]][..., 2], seen.straight[outer]
    found, colours = palette(places[outer], normals, spec.decoded(raw)[outer], straight, seen.half)
    changed = outer[found]
    raw[changed] = spec.encoded(colours).to(raw)
    return changed

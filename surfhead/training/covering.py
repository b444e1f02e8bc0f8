"""What no training picture shows is covered before an avatar is handed over, unless pictures say otherwise.

Surfels of the region ``hidden`` continue what is seen round them and cover their triangles, holes that are
left where pictures look aslant are closed from behind (``holes``), and what makes training pictures worse is
put back.
"""

from __future__ import annotations

import logging
import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.avatars.surfels import Surfels
from surfhead.core.errors import DataError, cause
from surfhead.core.scene import Scene
from surfhead.maths.geometry import quaternion_to_matrix
from surfhead.terminal.bars import watched
from surfhead.training.compensation import compensate, pictures_of
from surfhead.training.holes import SOLID, UNCLOSED, close_holes
from surfhead.training.judging_pictures import drawn, judging, truth
from surfhead.training.observation import observe
from surfhead.training.placement import scatter
from surfhead.training.settling import over_mesh, settle_neighbours
from surfhead.training.spares import NOTHING, drop_spares, room

log = logging.getLogger("surfhead")
OPAQUE = 0.05  # at least, of the surfels of a triangle together
COVERING = 0.6  # times the size at the start: surfels of a triangle together leave some hundredths of it bare
LARGEST = 0.45  # of a hidden surfel, in units of its triangle
BARE = 0.2  # share of the light: a rare triangle whose surfels let more through may count as hidden,
MEAGRE = 0.3  # if they cover it less than this times what covers the median triangle
#: What is put back, and more while pictures are much worse: harm of a triangle's surfels, in squared error (a
#: pixel has 0.03 where all channels are off by a tenth), and pixels of these pictures, as ω² counts them.
STAGES = ((0.03, 0.2), (0.03, 0.05), (0.03, 0.01), (0.01, 0.01))
#: What closes holes stands behind what pictures show: nothing is put back unless they get much worse.
BEHIND = (
    *((least, 0.2) for least in (math.inf, 100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1)),
    *STAGES,
)
#: After all of these: what harm the others bring once so many are gone is looked at anew, each time.
ANEW = ((0.01, 0.01), (3e-3, 3e-3), (3e-3, 3e-3), (1e-3, 1e-3), (1e-4, 1e-4), (-math.inf, 0.0))
UNCOVERED = "What no training picture shows stays as it was learnt"


@dataclass(frozen=True)
class Limit:
    """From where on pictures are much worse.

    Attributes:
        rise: of the pictures' squared error, relative to all of it,
        shown: in pixels of which what was changed makes up more than this share.
    """

    rise: float
    shown: float


COVERED = Limit(0.02, 0.3)
ADDED = Limit(0.002, 0.0)  # by added surfels held-out pictures lose whatever the others do, and as much again


@dataclass(frozen=True)
class Former:
    """Surfels as they were.

    Attributes:
        parameters: name -> (N, ...).
        triangle: (N,) int64 hosts.
    """

    parameters: dict[str, Tensor]
    triangle: Tensor

    @classmethod
    def of(cls, surfels: Surfels) -> Former:
        """A copy of what they are."""
        values = {name: value.detach().clone() for name, value in surfels.parameters.items()}
        return cls(values, surfels.triangle.clone())

    @torch.no_grad()
    def put(self, surfels: Surfels, which: Tensor) -> None:
        """Give some surfels, (M,) int64, their former values and hosts; those added since show nothing."""
        surfels.parameters["opacity"][which[which >= len(self.triangle)]] = NOTHING
        which = which[which < len(self.triangle)]
        for name, value in surfels.parameters.items():
            value[which] = self.parameters[name][which]
        surfels.rebind(which, self.triangle[which])


@torch.no_grad()
def settle_hidden(avatar: Avatar) -> Tensor:
    """Give surfels of the region ``hidden``, which hardly a training picture shows, what is seen round.

    What they learnt is noise that came through the front's leftover transmittance. Colours, opacities and
    their like are continued from the seen surfels, by their opacity. Of their sizes it is the area that a
    triangle's surfels cover together, in units of the triangle: the seen ones may be many and small. They
    are spread over their triangles anew, as before the first step. Several, at random places, are so large
    that they cover their triangle: n of size s, hardly transparent, let exp(-2π n s² / A) through, where its
    area A is about half the square of its scale. So is a single one that no picture shows, as fine meshes
    have them: what is seen may be many small ones a triangle, and their area in one is a lattice. None is
    larger than what covers a triangle alone, from its middle: it would stand beyond the outline.

    Beside them, surfels of the region ``rare`` do the same where they leave their triangle bare: the few
    pictures that show it are aslant, and what covers for what there is a hole from straight behind.

    Returns:
        (M,) int64, the surfels that were changed.
    """
    surfels = avatar.surfels
    nothing = surfels.triangle.new_zeros(0)
    hidden, rare = (surfels.regions.get(name, nothing) for name in ("hidden", "rare"))
    unseen = len(hidden)
    if len(rare):
        covered = covering(surfels)
        enough = (MEAGRE * covered[covered > 0].nanmedian()).clamp_max(-math.log(BARE))
        hidden = torch.cat((hidden, rare[covered[surfels.triangle[rare]] < enough]))
    if len(hidden) in (0, len(surfels)):
        return nothing
    known = torch.ones(len(surfels), device=hidden.device).index_fill_(0, hidden, 0.0)
    sizes, host = surfels.parameters["log_scale"], surfels.triangle
    settle_neighbours(avatar, known, torch.sigmoid(surfels.parameters["opacity"]) * known)
    raw = surfels.parameters["opacity"]
    raw[hidden] = raw[hidden].clamp_min(math.log(SOLID / (1.0 - SOLID)))
    opacity = torch.sigmoid(surfels.parameters["opacity"])
    thick = torch.zeros(int(host.max()) + 1, device=host.device).index_add(0, host, opacity)[host]
    alone = sizes + 0.5 * thick.clamp_min(OPAQUE).log()[:, None]  # of one surfel of the same area
    neighbours = avatar.rig.rest().topology.neighbours.cpu().numpy()
    found = over_mesh(alone, opacity * known, host, neighbours)[host] - (alone - sizes)
    counts = torch.bincount(host[hidden], minlength=len(neighbours))
    many = counts[host[hidden], None]
    cover = math.log(COVERING) - 0.5 * many.log()
    covers = (many > 1) | (torch.arange(len(hidden), device=many.device) < unseen)[:, None]
    size = torch.where(covers, found[hidden].maximum(cover), found[hidden])
    sizes[hidden] = size.clamp_max(math.log(LARGEST))
    _, places, _ = scatter(avatar.rig.rest(), counts.cpu(), torch.Generator().manual_seed(0))
    order = host[hidden].argsort(stable=True)
    surfels.parameters["offset"][hidden[order]] = places.to(sizes)
    return hidden


def cover_hidden(avatar: Avatar, scene: Scene, views: np.ndarray, most: int = 0, images: int = 0) -> bool:
    """``settle_hidden``, then ``close_holes``, each as far as training pictures do not get much worse by it.

    They do where the head that was tracked is larger than the person's. Those pixels count in which what was
    changed is seen: what shines through the front, and training made up for, says nothing of other pictures.
    Where surfels were added all pixels count: these must hardly cost anything.

    Args:
        avatar: changed in place.
        scene, views: what it was trained on.
        most: surfels that there may be with those that are added, behind all others; 0: no limit.
        images: of the run; 0: many.

    Returns:
        Whether anything stays changed; nothing does where covering fails, which is told.
    """
    surfels, count = avatar.surfels, len(avatar.surfels)
    learnt = Former.of(surfels)
    try:
        return _cover(avatar, scene, views, learnt, room(count, most), judging(views, images))
    except Exception as error:  # memory is short, say: no reason to lose a run
        learnt.put(surfels, torch.arange(len(surfels), device=avatar.device))
        log.warning("%s: %s", UNCOVERED, cause(error))
        return False
    finally:
        drop_spares(surfels, count)


def _cover(
    avatar: Avatar, scene: Scene, views: np.ndarray, before: Former, spare: int, chosen: Sequence[int]
) -> bool:
    """``cover_hidden`` of surfels as they were, to which so many may be added; chosen views are asked."""
    former = pictures_of(avatar, scene, chosen)
    hidden = settle_hidden(avatar)
    if not len(hidden):
        return False
    covered = _kept(avatar, scene, chosen, before, hidden, STAGES, COVERED, UNCOVERED)
    if covered:
        compensate(avatar, scene, chosen, former, hidden)
    before = Former.of(avatar.surfels)
    moved = close_holes(avatar, scene, views, hidden, spare)
    # what has surfels to spare is fine, and what closes its holes small
    limit = ADDED if bool((moved >= len(before.triangle)).any()) else COVERED
    given = (avatar, scene, chosen, before, moved, BEHIND, limit, UNCLOSED)
    closed = bool(len(moved)) and _kept(*given, together=False, anew=ANEW)  # at a rim, the outermost harm
    if closed:
        compensate(avatar, scene, chosen, former, torch.cat((hidden, moved)))
    return covered or closed


def _kept(
    avatar: Avatar,
    scene: Scene,
    chosen: Sequence[int],
    before: Former,
    changed: Tensor,
    stages: Sequence[tuple[float, float]],
    limit: Limit,
    left: str,
    together: bool = True,
    anew: Sequence[tuple[float, float]] = (),
) -> bool:
    """Whether a change stays after one of these stages of ``put_back``; else all is put back, as it tells.

    ``together`` a triangle's surfels stay or go. Each stage puts back what the one before it does and more,
    so that the first that suffices is found by halving. A surfel that hides a harmful one counts as a gain
    until that is gone: where no stage suffices, the last one's remainder is looked at anew.
    """
    surfels = avatar.surfels
    try:
        covered = Former.of(surfels)
        before.put(surfels, changed)
        former = _errors(avatar, scene, chosen)
        found: Tensor | None = None
        rest = changed  # of which nothing is put back
        answers: dict[int, bool] = {}  # how many are put back -> whether it suffices

        def suffices(stage: int) -> bool:
            nonlocal found, rest
            covered.put(surfels, changed)
            back = changed[:0]
            if stages[stage][0] < math.inf:
                found = harms(avatar, scene, chosen, changed, together) if found is None else found
                back = put_back(surfels, before, changed, found, *stages[stage])
            rest = changed[torch.isin(changed, back, invert=True)]
            if len(back) not in answers:
                answers[len(back)] = not _visibly_worse(avatar, scene, chosen, changed, former, limit)
            return answers[len(back)]

        first = 0 if suffices(0) else bisect_left(range(len(stages)), True, lo=1, key=suffices)
        if first < len(stages) and suffices(first):
            return True
        for stage in anew:
            harm = harms(avatar, scene, chosen, rest, together)
            back = put_back(surfels, before, rest, harm, *stage)
            rest = rest[torch.isin(rest, back, invert=True)]
            if not _visibly_worse(avatar, scene, chosen, changed, former, limit):
                return True
        log.info("%s: else training pictures got worse.", left)
    except DataError as error:  # a picture went since it was trained on, which is no reason to lose the run
        log.warning("%s: %s", left, error)
    before.put(surfels, changed)
    return False


@torch.no_grad()
def _errors(avatar: Avatar, scene: Scene, chosen: Sequence[int]) -> list[Tensor]:
    """(H, W) each, the pictures' squared errors."""
    return [_error(avatar, scene, view) for view in chosen]


@torch.no_grad()
def _visibly_worse(
    avatar: Avatar,
    scene: Scene,
    chosen: Sequence[int],
    changed: Tensor,
    former: Sequence[Tensor],
    limit: Limit,
) -> bool:
    """Whether pictures got much worse where what was changed is seen.

    Args:
        avatar, scene: what is drawn, and the truth.
        chosen: views.
        changed: (M,) int64 surfels.
        former: (H, W) each, the views' errors before.
        limit: of what is borne.
    """
    rise = 0.0
    for view, before in zip(chosen, former, strict=True):
        error, share = _error_and_share(avatar, scene, view, changed)
        rise += float((error - before)[share > limit.shown].sum())
    rise /= max(sum(float(error.sum()) for error in former), 1e-12)
    log.debug("Covering raises the error of training pictures by %.2f %%.", 100.0 * rise)
    return rise > limit.rise


def harms(
    avatar: Avatar, scene: Scene, chosen: Sequence[int], changed: Tensor, together: bool = True
) -> Tensor:
    """How much worse surfels make pictures, and how much of these they make up.

    At an outline, pictures show a little of what is hidden, and may show that it is not there. How much of
    the pictures' squared error a surfel brings is, to first order, its derivative by a factor of the opacity.

    Args:
        avatar, scene: what is drawn, and the truth.
        chosen: views that are looked at.
        changed: (M,) int64 surfels.
        together: count a triangle's as one.

    Returns:
        (M, 2) squared error over pixels and channels, and pixels, as ω² counts them, of each or its triangle.
    """
    surfels = avatar.surfels
    harm = torch.zeros(len(surfels), device=avatar.device)
    for view in watched(chosen, "Looking at what was hidden", len(chosen)):
        harm += _harm(avatar, scene, int(view))
    host = surfels.triangle[changed]
    seen = observe(avatar, scene, np.asarray(chosen), limit=len(chosen), directions=False).weight
    own = torch.stack((harm, seen), dim=1)[changed]
    if not together:
        return own
    return own.new_zeros(int(surfels.triangle.max()) + 1, 2).index_add(0, host, own)[host]


def put_back(
    surfels: Surfels, before: Former, changed: Tensor, found: Tensor, least: float, visible: float
) -> Tensor:
    """Give changed surfels that make training pictures worse their former values.

    They must make up part of a pixel at all: what little shines through what lies before them, for which
    that made up in training, is no reason to leave a hole.

    Args:
        surfels: changed in place.
        before: all of them as they were.
        changed: (M,) int64 which are others now.
        found: (M, 2) their ``harms``.
        least, visible: harm and pixels of a triangle, above which it is put back.

    Returns:
        (K,) int64 those that were.
    """
    back = changed[(found[:, 0] > least) & (found[:, 1] > visible)]
    before.put(surfels, back)
    return back


def _error(avatar: Avatar, scene: Scene, view: int) -> Tensor:
    """(H, W) a picture's squared error, summed over the channels."""
    return _difference(avatar, scene, view).square().sum(dim=-1)


def _error_and_share(avatar: Avatar, scene: Scene, view: int, surfels: Tensor) -> tuple[Tensor, Tensor]:
    """(H, W) a picture's squared error, and how much of each pixel these surfels (M,) make up, in [0, 1]."""
    found, cameras, behind = drawn(avatar, scene, view)
    first = torch.zeros(1, dtype=torch.int64, device=avatar.device)
    white = torch.zeros_like(found.colour.rgb).index_fill_(1, surfels, 1.0)
    share = avatar.rasterizer(found.surfels, white, cameras, first, torch.zeros_like(behind)).rgb[0, ..., 0]
    return (found.output.rgb[0] - truth(scene, view, behind)).square().sum(dim=-1), share


def _difference(avatar: Avatar, scene: Scene, view: int, factor: Tensor | None = None) -> Tensor:
    """(H, W, 3) what the avatar draws less the picture; ``factor`` (N,) of the opacities."""
    found, _, behind = drawn(avatar, scene, view, factor)
    return found.output.rgb[0] - truth(scene, view, behind)


def _harm(avatar: Avatar, scene: Scene, view: int) -> Tensor:
    """(N,) how much of a picture's squared error, summed over pixels and channels, each surfel brings."""
    factor = torch.ones(len(avatar.surfels), device=avatar.device, requires_grad=True)
    with torch.enable_grad():
        error = _difference(avatar, scene, view, factor).square().sum()
        (found,) = torch.autograd.grad(error, factor)
    return found.detach()


@torch.no_grad()
def covering(surfels: Surfels) -> Tensor:
    """(F,) how densely the surfels that stand on each triangle cover it.

    It is c = Σ 2π o s t |n| / A of opacities o, sizes s and t and cosines n of their normals and the
    triangle's, with A = ½ the area of a triangle in units of its scale squared: at random places they let
    exp(-c) of the light through that comes straight.
    """
    values = surfels.parameters
    upright = quaternion_to_matrix(values["quaternion"])[:, 2, 2].abs()
    opacity, size = torch.sigmoid(values["opacity"]).reshape(-1), values["log_scale"].sum(dim=1).exp()
    here = values["offset"].norm(dim=1) < 1.0
    covered = torch.zeros(int(surfels.triangle.max()) + 1, device=opacity.device)
    return covered.index_add(0, surfels.triangle, 4.0 * math.pi * opacity * size * upright * here)

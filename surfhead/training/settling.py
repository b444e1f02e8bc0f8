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

import logging
import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.avatars.rendering import Rendering
from surfhead.avatars.surfels import Surfels
from surfhead.core.errors import DataError
from surfhead.core.scene import Scene
from surfhead.core.types import Cameras
from surfhead.data.feed import background_of, cameras_of
from surfhead.maths.geometry import quaternion_to_matrix
from surfhead.measuring.evaluation import spread
from surfhead.terminal.bars import watched
from surfhead.training.observation import Observation, observe
from surfhead.training.placement import scatter
from surfhead.training.ranks import ALONE, Ranks

log = logging.getLogger("surfhead")
STIFFNESS = 0.2  # of Λ, in weights at which a surfel is half known
COUPLING = 0.05  # μ, relative to a triangle whose surfels are well known
SOLID = 0.9  # least opacity of a hidden surfel: where light passes, the face is seen from behind
OPAQUE = 0.05  # at least, of the surfels of a triangle together
COVERING = 0.6  # times the size at the start: surfels of a triangle together leave some hundredths of it bare
LARGEST = 0.45  # of a hidden surfel, in units of its triangle
BARE = 0.2  # share of the light: a rare triangle whose surfels let more through may count as hidden,
MEAGRE = 0.3  # if they cover it less than this times what covers the median triangle
HARM = 0.03  # of a triangle's surfels: a pixel's squared error where all channels are off by a tenth
VISIBLE = 0.2  # pixels of those pictures, as ω² counts them
WORSE = 0.02  # of the pictures' squared error: nothing is covered where it rises by more,
SHOWN = 0.3  # in pixels of which what is covered makes up such a share
PICTURES = 24  # that are asked whether they got worse
FLOOR = 1e-6  # of W: a part of the mesh that nothing saw has the mean of all
CHUNK = 16_384  # surfels whose systems are solved together


def finish(avatar: Avatar, scene: Scene, views: np.ndarray, tie: bool = False, ranks: Ranks = ALONE) -> None:
    """After the last step: sets ``avatar.observed``, and ties what was not seen where asked to.

    Of processes that train together the first one does it for all.
    """
    if ranks.first:
        cover_hidden(avatar, scene, views)
        if tie:
            settle(avatar, scene, views)
        else:
            avatar.observed = observe(avatar, scene, views, directions=False).known
    if tie or "hidden" in avatar.surfels.regions:
        ranks.spread(list(avatar.surfels.parameters.values()))


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
def settle_hidden(avatar: Avatar) -> Tensor:
    """Give surfels of the region ``hidden``, which hardly a training picture shows, what is seen round.

    What they learnt is noise that came through the front's leftover transmittance. Colours, opacities and
    their like are continued from the seen surfels, by their opacity. Of their sizes it is the area that a
    triangle's surfels cover together, in units of the triangle: the seen ones may be many and small. They
    are spread over their triangles anew, as before the first step. Several, at random places, are so large
    that they cover their triangle: n of size s, hardly transparent, let exp(-2π n s² / A) through, where its
    area A is about half the square of its scale. None is larger than what covers a triangle alone, from its
    middle: it would stand beyond the outline.

    Beside them, surfels of the region ``rare`` do the same where they leave their triangle bare: the few
    pictures that show it are aslant, and what covers for what there is a hole from straight behind.

    Returns:
        (M,) int64, the surfels that were changed.
    """
    surfels = avatar.surfels
    nothing = surfels.triangle.new_zeros(0)
    hidden, rare = (surfels.regions.get(name, nothing) for name in ("hidden", "rare"))
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
    size = torch.where(many > 1, found[hidden].maximum(cover), found[hidden])
    sizes[hidden] = size.clamp_max(math.log(LARGEST))
    _, places, _ = scatter(avatar.rig.rest(), counts.cpu(), torch.Generator().manual_seed(0))
    order = host[hidden].argsort(stable=True)
    surfels.parameters["offset"][hidden[order]] = places.to(sizes)
    return hidden


def cover_hidden(avatar: Avatar, scene: Scene, views: np.ndarray) -> bool:
    """``settle_hidden``, and ``put_back`` where it may not be; all of it where pictures still get much worse.

    They do where the head that was tracked is larger than the person's. Those pixels count in which what was
    changed is seen: what shines through the front, and training made up for, says nothing of other pictures.

    Args:
        avatar: changed in place.
        scene, views: what it was trained on.

    Returns:
        Whether anything stays changed.
    """
    parameters = avatar.surfels.parameters
    before = {name: value.detach().clone() for name, value in parameters.items()}
    changed = settle_hidden(avatar)
    if not len(changed):
        return False
    try:
        put_back(avatar, scene, views, before, changed)
        worse = _visibly_worse(avatar, scene, views, before, changed)
    except DataError as error:  # a picture went since it was trained on, which is no reason to lose the run
        log.warning("What no training picture shows stays as it was learnt: %s", error)
        worse = True
    if worse:
        with torch.no_grad():
            for name, value in parameters.items():
                value.copy_(before[name])
    return not worse


@torch.no_grad()
def _visibly_worse(
    avatar: Avatar, scene: Scene, views: np.ndarray, before: Mapping[str, Tensor], changed: Tensor
) -> bool:
    """Whether pictures got worse by more than ``WORSE``; arguments as of ``put_back``."""
    parameters = avatar.surfels.parameters
    chosen = spread(np.asarray(views), PICTURES).tolist()
    shown = [_share(avatar, scene, view, changed) > SHOWN for view in chosen]
    after = [_error(avatar, scene, view) for view in chosen]
    covered = {name: value[changed] for name, value in parameters.items()}
    for name, value in parameters.items():
        value[changed] = before[name][changed]
    former = [_error(avatar, scene, view) for view in chosen]
    for name, value in parameters.items():
        value[changed] = covered[name]
    rise = sum(float((a - b)[seen].sum()) for a, b, seen in zip(after, former, shown, strict=True))
    if rise <= WORSE * sum(float(error.sum()) for error in former):
        return False
    log.info("What no training picture shows stays as it was learnt: covering it made pictures worse.")
    return True


def put_back(
    avatar: Avatar, scene: Scene, views: np.ndarray, before: Mapping[str, Tensor], changed: Tensor
) -> None:
    """Give changed surfels that make training pictures worse their former values, a triangle's together.

    At an outline, pictures show a little of what is hidden, and may show that it is not there. How much of
    the pictures' squared error a surfel brings is, to first order, its derivative by a factor of the opacity.
    It counts where surfels make up part of a pixel at all: what little shines through what lies before them,
    for which that made up in training, is no reason to leave a hole.

    Args:
        avatar: changed in place.
        scene, views: what it was trained on.
        before: name -> (N, ...) former values of all surfels.
        changed: (M,) int64 which of them have others now.
    """
    surfels = avatar.surfels
    chosen = spread(np.asarray(views), PICTURES)
    harm = torch.zeros(len(surfels), device=avatar.device)
    for view in watched(chosen, "Looking at what was hidden", len(chosen)):
        harm += _harm(avatar, scene, int(view))
    host = surfels.triangle[changed]
    own = torch.stack((harm, observe(avatar, scene, chosen, limit=PICTURES, directions=False).weight), dim=1)
    whole = own.new_zeros(int(surfels.triangle.max()) + 1, 2).index_add(0, host, own[changed])[host]
    back = changed[(whole[:, 0] > HARM) & (whole[:, 1] > VISIBLE)]
    with torch.no_grad():
        for name, value in surfels.parameters.items():
            value[back] = before[name][back]


def _error(avatar: Avatar, scene: Scene, view: int) -> Tensor:
    """(H, W) a picture's squared error, summed over the channels."""
    return _difference(avatar, scene, view).square().sum(dim=-1)


def _drawn(
    avatar: Avatar, scene: Scene, view: int, factor: Tensor | None = None
) -> tuple[Rendering, Cameras, Tensor]:
    """A view as it is drawn, its camera and background (1, 3); ``factor`` (N,) of the opacities."""
    first = torch.zeros(1, dtype=torch.int64, device=avatar.device)
    poses = avatar.poses(first + int(scene.views.timestep[view]))
    cameras, behind = cameras_of(scene, [view], avatar.device), background_of(scene)[None].to(avatar.device)
    drawn = avatar.draw(cameras, poses, first, behind, paired=True, opacity_scale=factor)
    return drawn, cameras, behind


def _share(avatar: Avatar, scene: Scene, view: int, surfels: Tensor) -> Tensor:
    """(H, W) in [0, 1], how much of each pixel of a view is made up by these surfels (M,)."""
    drawn, cameras, behind = _drawn(avatar, scene, view)
    first = torch.zeros(1, dtype=torch.int64, device=avatar.device)
    white = torch.zeros_like(drawn.colour.rgb).index_fill_(1, surfels, 1.0)
    return avatar.rasterizer(drawn.surfels, white, cameras, first, torch.zeros_like(behind)).rgb[0, ..., 0]


def _difference(avatar: Avatar, scene: Scene, view: int, factor: Tensor | None = None) -> Tensor:
    """(H, W, 3) what the avatar draws less the picture; ``factor`` (N,) of the opacities."""
    drawn, _, behind = _drawn(avatar, scene, view, factor)
    truth = torch.from_numpy(np.ascontiguousarray(scene.frame(view).image)).to(behind) / 255.0
    return drawn.output.rgb[0] - truth


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

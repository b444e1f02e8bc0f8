"""Holes through which one sees into a trained head from where no camera stood, and what closes them.

Triangles that pictures show aslant alone need few surfels to look whole in them; seen straight, the far side
shows between these. So the head is drawn at rest from all round and compared with its mesh: a pixel is one
of a hole where the surfels that face the camera do not cover it, or where the median surface lies well behind
the triangle that a ray meets first. Surfels that hardly a picture shows are brought there, and added where
these are too few, a little below what the triangle's own form: what pictures show stays before them.
"""

from __future__ import annotations

import logging
import math

import numpy as np
import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.avatars.rendering import Rendering
from surfhead.core.errors import SurfheadError
from surfhead.core.scene import Scene
from surfhead.core.types import Cameras, RestMesh
from surfhead.drawing.camera_path import orbit
from surfhead.meshes.meshcaster import MeshCaster
from surfhead.training.composition import INNER
from surfhead.training.observation import observe
from surfhead.training.rims import inside_rims
from surfhead.training.settling import over_mesh, settle_neighbours
from surfhead.training.spares import add_spares, resemble

log = logging.getLogger("surfhead")
SIDE = 320  # pixels of the pictures that are looked at, at most: as large as those of training
AROUND = 8  # views of each elevation
ELEVATIONS = (-20.0, 10.0, 40.0)  # degrees
FACING = 0.35  # least cosine between a triangle's normal and the way to the camera
DEEP = 0.006  # metres behind the mesh, from which on one looks through it
OPEN = 0.92  # alpha below which one looks through
SHARE = 0.05  # of a triangle's pixels, from which it has a hole
ROUNDS = 2
PICTURES = 24  # of training, by which a surfel counts as idle
COARSEST, FINEST = 2, 4  # parts that edges are cut into; a surfel stands in each of the triangles this makes
SIZE = 0.425  # of each, in units of the root of twice its triangle's area: smaller ones let a lattice through
INSIDE = 0.8  # least distance from a ridge or a rim, in heights of the small triangles
SHARP = 0.7  # cosine between two triangles' normals, below which their edge is a ridge
BELOW = 0.0015  # metres under what the triangle's own surfels form: no picture may show it at the outline,
THIN = 0.25  # but at most this share of the way to the other side, such as an ear's
SOLID = 0.9  # least opacity of what covers: where light passes, the face is seen from behind
IDLE = 1.0  # times the weight at which a surfel is half known: one with less may go,
UNSEEN = 1.0  # if it makes up fewer pixels in all pictures that are looked at,
WITHIN = 0.01  # and, of those that cover what no camera saw, less than this times their mean
UNCLOSED = "Holes that cameras did not see stay"


def close_holes(avatar: Avatar, scene: Scene, views: np.ndarray, settled: Tensor, room: int = 0) -> Tensor:
    """Bring surfels that hardly a training picture shows to the holes of a head; nothing without rays.

    Where they do not suffice, surfels are added behind all others. Some of these may be left over, and show
    nothing (``spares``).

    Args:
        avatar: changed in place.
        scene, views: what it was trained on.
        settled: (M,) int64 surfels that cover what no camera saw, and stay where one sees that from any side.
        room: at most so many are added.

    Returns:
        (K,) int64 the surfels that were moved or added.
    """
    surfels, moved = avatar.surfels, settled[:0]
    side = min(SIDE, max(scene.views.height, scene.views.width))
    try:
        found, shown = holes(avatar, side)
        if not bool(found.any()):
            return moved
        seen = observe(avatar, scene, views, limit=PICTURES, directions=False)
        idle = (seen.weight < IDLE * seen.half) & (shown < UNSEEN)
        idle[settled[shown[settled] >= WITHIN * shown[settled].mean()]] = False
        for region in INNER:  # a mouth that opens further shows what none has shown
            idle[surfels.regions.get(region, moved[:0])] = False
        weight, known = seen.weight, seen.known
        for number in range(ROUNDS):
            if number:  # what the last one left
                found, _ = holes(avatar, side)
            if not bool(found.any()):
                break
            lacking = COARSEST**2 * int((found > 0).sum()) - int(idle.sum())
            spares = add_spares(surfels, min(max(lacking, 0), room))
            room -= len(spares)
            idle = torch.cat((idle, torch.ones_like(spares, dtype=torch.bool)))
            weight = torch.cat((weight, weight.new_full((len(spares),), math.inf)))  # idle ones go first
            known = torch.cat((known, known.new_zeros(len(spares))))
            fresh = _fill(avatar, found, weight, idle, known)
            idle[fresh] = False
            known[fresh] = 0.0  # the next round's depth is that of what was learnt, not of what lies under it
            moved = torch.cat((moved, fresh))
            if not len(fresh):
                break
    except SurfheadError as error:  # no rays, or no head to look at: no reason to lose a run
        log.warning("%s: %s", UNCLOSED, error)
    return moved


@torch.no_grad()
def holes(avatar: Avatar, side: int = SIDE) -> tuple[Tensor, Tensor]:
    """How many pixels show through each triangle of the head at rest, drawn from all round.

    Triangles of ``INNER`` regions have none, nor have those of which such pixels are less than ``SHARE``.
    Pictures have ``side`` pixels a side.

    Returns:
        (F,) int64 pixels, and (N,) how many pixels each surfel makes up in all pictures.

    Raises:
        UnavailableError: rays cannot be cast.
    """
    rest, known = avatar.rig.rest(), avatar.rig.parameters()
    pose = {
        name: rows[:1] if name in known and known[name].role == "personal" else torch.zeros_like(rows[:1])
        for name, rows in avatar.motion.items()
    }
    vertices, triangles = avatar.rig(pose).vertices[0].cpu(), rest.topology.triangles.cpu()
    corners = vertices[triangles]
    normal = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    caster = MeshCaster(vertices, triangles)
    count, made = len(corners), torch.zeros(len(avatar.surfels), device=avatar.device)
    open_, shown = torch.zeros(count, dtype=torch.int64), torch.zeros(count, dtype=torch.int64)
    for elevation in ELEVATIONS:
        cameras = orbit(avatar, AROUND, height=side, width=side, turn=360.0, elevation=elevation)
        first = torch.zeros(AROUND, dtype=torch.int64, device=avatar.device)
        behind = torch.zeros(AROUND, 3, device=avatar.device)
        drawn = avatar.draw(cameras.to(avatar.device), pose, first, behind)
        made += _shares(avatar, drawn, cameras.to(avatar.device), first, behind)
        triangle, depth = caster.nearest(cameras)
        way = cameras.centre.cpu().float()[:, None] - corners.mean(dim=1)  # (B, F, 3)
        cosine = (way * normal).sum(dim=-1) / (way.norm(dim=-1) * normal.norm(dim=-1)).clamp_min(1e-12)
        facing = torch.gather(cosine, 1, triangle.clamp_min(0).flatten(1)).reshape(triangle.shape) > FACING
        straight = facing & (triangle >= 0)
        alpha, median = _front(avatar, cameras, pose, cosine > 0.0), drawn.output.median_depth.cpu()
        through = straight & ((alpha < OPEN) | (median > depth + DEEP))
        shown += torch.bincount(triangle[straight], minlength=count)
        open_ += torch.bincount(triangle[through], minlength=count)
    open_[open_ < SHARE * shown] = 0
    for region in INNER:
        inside = rest.topology.regions.get(region)
        if inside is not None:
            open_[inside.cpu()] = 0
    return open_.to(avatar.device), made


def _front(avatar: Avatar, cameras: Cameras, pose: dict[str, Tensor], facing: Tensor) -> Tensor:
    """(B, H, W) alpha of those surfels alone whose triangle faces the camera, on the CPU.

    With the far side every pixel of a head is covered, and what shines through the near one is seen.

    Args:
        facing: (B, F) bool.
    """
    host, alphas = avatar.surfels.triangle, []
    first = torch.zeros(1, dtype=torch.int64, device=avatar.device)
    behind = torch.zeros(1, 3, device=avatar.device)
    for view, towards in enumerate(facing.to(avatar.device)):
        near = towards[host].to(avatar.surfels.parameters["opacity"].dtype)
        camera = cameras[view].to(avatar.device)
        alphas.append(avatar.draw(camera, pose, first, behind, opacity_scale=near).output.alpha.cpu())
    return torch.cat(alphas)


def _shares(avatar: Avatar, drawn: Rendering, cameras: Cameras, poses: Tensor, behind: Tensor) -> Tensor:
    """(N,) how many pixels each surfel makes up: the derivative of all pixels' sum by its colour."""
    colour = torch.zeros_like(drawn.colour.rgb, requires_grad=True)
    with torch.enable_grad():
        picture = avatar.rasterizer(drawn.surfels, colour, cameras, poses, behind).rgb
        (found,) = torch.autograd.grad(picture.sum(), colour)
    return found.mean(dim=-1).sum(dim=0)


@torch.no_grad()
def _fill(avatar: Avatar, found: Tensor, weight: Tensor, idle: Tensor, known: Tensor) -> Tensor:
    """Bring idle surfels, those of the least weight first, to the triangles with the largest holes first.

    Args:
        avatar: changed in place.
        found: (F,) int64 size of the holes.
        weight, known: (N,) of the surfels, as ``observe`` gives them; the weight of added ones is infinite.
        idle: (N,) bool, which may be moved.

    Returns:
        (K,) int64 the surfels that were moved.
    """
    surfels, rest = avatar.surfels, avatar.rig.rest()
    raw, host = surfels.parameters, surfels.triangle
    free = torch.nonzero(idle)[:, 0]
    free = free[weight[free].argsort(stable=True)]
    order = found.argsort(descending=True, stable=True)[: int((found > 0).sum())]
    parts = min(FINEST, max(math.isqrt(len(free) // len(order)), COARSEST))
    each = parts * parts
    targets = order[: len(free) // each].repeat_interleave(each)
    chosen = free[: len(targets)]
    if not len(chosen):
        return chosen
    added = weight[chosen].isinf()
    resemble(avatar, chosen[added], targets[added], weight)
    frames = rest.frames
    known = known.clone()
    known[chosen] = 0.0
    sure = torch.sigmoid(raw["opacity"]) * known
    scale = frames.scale.to(known)
    neighbours = rest.topology.neighbours.cpu().numpy()
    height = over_mesh(raw["offset"][:, 2:] * scale[host][:, None], sure, host, neighbours)  # metres
    surfels.rebind(chosen, targets)
    settle_neighbours(avatar, torch.ones_like(known).index_fill_(0, chosen, 0.0), sure)
    places, size, turn = _places(avatar, parts)
    spots = places[targets[::each]].reshape(-1, 3).to(known)
    spots, extent, turned = inside_rims(
        rest, targets, spots, size[targets].to(known), turn[targets].to(known)
    )
    raw["offset"][chosen] = spots
    below = _depths(rest, order[: len(targets) // each]).to(known).repeat_interleave(each)
    raw["offset"][chosen, 2] = (height[targets, 0] - below) / scale[targets]
    raw["log_scale"][chosen] = extent.log()
    raw["quaternion"][chosen] = turned
    raw["opacity"][chosen] = raw["opacity"][chosen].clamp_min(math.log(SOLID / (1.0 - SOLID)))
    return chosen


def _places(avatar: Avatar, parts: int) -> tuple[Tensor, Tensor, Tensor]:
    """Where surfels are brought on each triangle whose edges are cut into ``parts``, and of which shape.

    Returns:
        (F, parts², 3) the small triangles' centroids and (F, 2) sizes, in units of the triangle's scale, and
        (F, 4) quaternions: their ellipses have the small triangles' principal axes. At an edge beyond which
        nothing is, or where the mesh bends away sharply, the last row stands further inside.
    """
    rest = avatar.rig.rest()
    frames = rest.frames
    away = rest.vertices[rest.topology.triangles] - frames.centroid[:, None]  # (F, 3 corners, 3)
    local = torch.einsum("fij,fki->fkj", frames.rotation, away) / frames.scale[:, None, None].clamp_min(1e-12)
    steps = range(parts)
    upright = [(i + 1 / 3, j + 1 / 3) for i in steps for j in steps if i + j < parts]
    turned = [(i + 2 / 3, j + 2 / 3) for i in steps for j in steps if i + j < parts - 1]
    along = torch.tensor(upright + turned).to(local) / parts
    weights = torch.cat((1.0 - along.sum(dim=1, keepdim=True), along), dim=1)  # (parts², 3 corners)
    weights = weights.expand(len(local), -1, -1).clone()
    outer = _outer(rest)
    for edge, opposite in enumerate((2, 0, 1)):
        away_from = weights[:, :, opposite]
        inward = torch.where(outer[:, None, edge], away_from.clamp_min(INSIDE / parts), away_from)
        weights *= ((1.0 - inward) / (1.0 - away_from))[:, :, None]
        weights[:, :, opposite] = inward
    spread, axes = torch.linalg.eigh(torch.einsum("fki,fkj->fij", local[..., :2], local[..., :2]) / 12.0)
    size = SIZE / parts * math.sqrt(12.0 * math.sqrt(3.0)) * spread.clamp_min(1e-10).sqrt()  # ascending
    angle = 0.5 * torch.atan2(axes[:, 1, 0], axes[:, 0, 0])
    still = torch.zeros_like(angle)
    return weights @ local, size, torch.stack((angle.cos(), still, still, angle.sin()), dim=1)


def _depths(rest: RestMesh, triangles: Tensor) -> Tensor:
    """(K,) metres under these triangles, (K,) int64, at which surfels close their holes."""
    centre, normal = rest.frames.centroid, rest.frames.rotation[:, :, 2]
    depths = [centre.new_zeros(0)]
    for part in torch.split(triangles, 256):
        way = centre - centre[part, None]  # (P, F, 3)
        under = torch.einsum("pi,pfi->pf", normal[part], way) < 0.0
        other = under & (normal[part] @ normal.T < 0.0)  # which is where one would come out again
        depths.append(THIN * torch.where(other, way.norm(dim=-1), math.inf).amin(dim=1))
    return torch.cat(depths).clamp_max(BELOW)


def _outer(rest: RestMesh) -> Tensor:
    """(F, 3) bool: edges beyond which a triangle's plane leaves the surface: open ones, and sharp ridges."""
    neighbours, normal = rest.topology.neighbours, rest.frames.rotation[:, :, 2]
    beyond = rest.frames.centroid[neighbours] - rest.frames.centroid[:, None]
    falls = torch.einsum("fi,fei->fe", normal, beyond) < 0.0
    sharp = torch.einsum("fi,fei->fe", normal, normal[neighbours]) < SHARP
    here = torch.arange(len(neighbours), device=neighbours.device)[:, None]
    return (neighbours == here) | (falls & sharp)

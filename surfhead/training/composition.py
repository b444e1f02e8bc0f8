"""From a configuration and an opened data set to a new avatar with its starting values."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch

from surfhead.avatars.assembly import Parts, assemble, make_parts, make_rig
from surfhead.avatars.avatar import Avatar
from surfhead.avatars.scene_motion import sized
from surfhead.avatars.state import AvatarState
from surfhead.avatars.surfels import Surfels
from surfhead.core.config import RunConfig
from surfhead.core.errors import DataError, OptionError, UnavailableError
from surfhead.core.parameters import BASE_COLOUR, with_role
from surfhead.core.registry import registry
from surfhead.core.scene import Scene
from surfhead.data.feed import background_of
from surfhead.training.placement import scatter, shares
from surfhead.training.settling import over_mesh

log = logging.getLogger("surfhead")
SHOWN = 0.03  # of the pictures: a triangle that fewer show, and those aslant, is hidden
SELDOM = 0.1  # of them: one that fewer show is rare
INNER = ("face", "eyeballs", "teeth", "mouth", "tongue")
SURE = 1000.0  # of a triangle whose pixels were seen, that its neighbours hardly count beside them


def make_avatar(config: RunConfig, scene: Scene, device: torch.device) -> Avatar:
    """A new avatar with the declared starting values."""
    torch.manual_seed(config.seed)
    generator = torch.Generator().manual_seed(config.seed)
    deformer, appearance, rasterizer = make_parts(config, device)
    if not type(rasterizer).supports(device.type):
        raise UnavailableError(
            f'Rasterizer "{rasterizer.name}" cannot draw on {device.type}.',
            f"For {device.type}: {', '.join(registry().usable('rasterizer', device.type))}.",
            "Choose one of these, or --device.",
        )
    rig = make_rig(config.rig, scene.rig, scene.rig_options, scene.identity, device)
    parts = Parts(rig, deformer, appearance, rasterizer)
    specs = parts.specs()
    if deformer.rig_bound:
        if scene.rig == "none" and config.rig.name in ("auto", "none"):
            raise OptionError(
                f'Deformer "{deformer.name}" needs a rig, and this data set has none.',
                "Without a rig: static.",
                "Add --deformer static, or give data tracked with a head model.",
            )
        rest = rig.rest()
        triangles, each = len(rest.topology.triangles), config.surfels_per_triangle
        if config.max_initial_surfels > 0:
            each = max(min(each, config.max_initial_surfels // triangles), 1)
        counts = torch.full((triangles,), each)
        if config.initial_surfels > 0:
            counts = shares(rest, config.initial_surfels, config.max_initial_surfels)
        triangle, offset, log_scale = scatter(rest, counts, generator)
        surfels = Surfels.create(specs, triangle, rest.topology, generator, device)
        with torch.no_grad():
            surfels.parameters["offset"] += offset.to(device)
            surfels.parameters["log_scale"] += log_scale.to(device)
    else:
        surfels = _from_points(specs, scene, generator, device)
    motion = sized({k: v.to(device, torch.float32) for k, v in scene.rig_parameters.items()}, rig)
    state = AvatarState(
        surfels.triangle,
        background_of(scene).to(device),
        {name: value.detach() for name, value in surfels.parameters.items()},
        motion if deformer.rig_bound else {},
        scene.identity,
    )
    return assemble(parts, state)


def look_at_data(avatar: Avatar, scene: Scene, views: np.ndarray, colours: bool, hidden: bool) -> None:
    """What the training pictures tell of a rig's triangles before the first step; nothing without a rig.

    Args:
        avatar: changed in place.
        scene, views: the training pictures.
        colours: start every surfel in the mean colour of the training pixels that show its triangle, of the
            head alone where there are masks; hidden ones, and those of triangles too small for any pixel, in
            what the colours round about suggest (``over_mesh``).
        hidden: name the region ``hidden``: surfels of triangles that hardly any training picture shows, but
            those of ``INNER`` regions, which come into sight as a face moves. Those that a few more show
            are the region ``rare``.

    Raises:
        UnavailableError: colours are wanted, and rays cannot be cast.
    """
    from surfhead.measuring.baseline import TriangleBaseline

    surfels = avatar.surfels
    name = with_role(surfels.specs, BASE_COLOUR)
    colours = colours and name is not None
    if not avatar.deformer.rig_bound or not (colours or hidden):
        return
    try:
        bare = TriangleBaseline(scene, avatar.rig, views)
    except UnavailableError as error:
        if colours:
            raise
        log.warning("What no training picture shows is not told from the rest: %s", error)
        return
    topology = avatar.rig.rest().topology.to("cpu")
    dark, seldom = bare.shown < SHOWN, bare.shown < SELDOM
    for region in INNER:
        inner = topology.regions.get(region, torch.zeros_like(dark))
        dark, seldom = dark & ~inner, seldom & ~inner
    if colours and name is not None:
        unknown = dark | ~bare.coloured
        known = torch.where(unknown, 0.0, SURE)
        guess = over_mesh(bare.colours, known, torch.arange(len(known)), topology.neighbours.numpy())
        found = torch.where(unknown[:, None], guess, bare.colours).to(avatar.device)
        with torch.no_grad():
            surfels.parameters[name].copy_(surfels.specs[name].encoded(found[surfels.triangle]))
    if hidden:
        surfels.mark("hidden", dark)
        surfels.mark("rare", seldom & ~dark)


def _from_points(specs: Any, scene: Scene, generator: torch.Generator, device: torch.device) -> Surfels:
    """Surfels at the data set's points, sized by the distance to their three nearest neighbours (3DGS)."""
    from scipy.spatial import cKDTree

    if scene.points is None or len(scene.points) == 0:
        raise DataError(
            "This data set has no initial points.",
            "Expected points for a scene without a rig.",
            "Choose a rig-bound deformer, such as --deformer jbs.",
        )
    points = np.asarray(scene.points, dtype=np.float64)
    count = len(points)
    surfels = Surfels.create(specs, torch.full((count,), -1), None, generator, device)
    neighbours = min(4, count)
    distance = np.atleast_2d(cKDTree(points).query(points, k=neighbours)[0]).reshape(count, -1)[:, 1:]
    mean = np.sqrt(np.maximum((distance**2).mean(axis=1), 1e-14)) if neighbours > 1 else np.full(count, 0.01)
    raw = surfels.parameters
    with torch.no_grad():
        raw["offset"].copy_(torch.from_numpy(points))
        raw["log_scale"].copy_(torch.from_numpy(np.log(mean))[:, None].expand(-1, 2))
        raw["quaternion"].copy_(torch.randn(count, 4, generator=generator))
        name = with_role(specs, BASE_COLOUR)
        if scene.point_colours is not None and name is not None:
            colours = torch.from_numpy(np.asarray(scene.point_colours)).double() / 255.0
            raw[name].copy_(specs[name].encoded(colours))
    return surfels

"""What an appearance model asks for of the surfels' surface, worked out."""

from __future__ import annotations

import torch
from torch import Tensor

from surfhead.core.components import Appearance
from surfhead.core.errors import ShapeError
from surfhead.core.surface import Surface, SurfaceWants
from surfhead.core.types import Binding, Colour, RestMesh, WorldSurfels, check_shape
from surfhead.files.given import made_by, misfit
from surfhead.kernels.ops import to_rest
from surfhead.maths.geometry import looks_inward

TINY = 1e-12  # square metres


def surface_of(
    wants: SurfaceWants,
    means: Tensor,
    normals: Tensor,
    rotation: Tensor,
    centre: Tensor,
    binding: Binding,
    rest: RestMesh | None,
) -> Surface | None:
    """What ``wants`` asks for; None where it asks for nothing.

    Args:
        wants: the appearance model's.
        means: (B, N, 3) world centres, metres.
        normals: (B, N, 3) unit world normals, on whichever side.
        rotation: (B, N, 3, 3) world from rest.
        centre: (B, 3) the cameras' centres.
        binding: the surfels.
        rest: the canonical mesh; None without a rig.
    """
    if not wants.any:
        return None
    given: dict[str, Tensor] = {}
    if wants.world_normals != "no" or wants.rest_normals != "no":
        inward = None if rest is None else looks_inward(binding.parameters["quaternion"].detach())
        facing = towards_camera((means - centre[:, None, :]).detach(), normals, inward)
        if wants.world_normals != "no":
            given["world_normals"] = facing
        if wants.rest_normals != "no":
            given["rest_normals"] = to_rest(rotation, facing)
    if wants.world_positions != "no":
        given["world_positions"] = means
    if wants.rest_positions != "no":
        given["rest_positions"] = _on_rest_mesh(binding, rest)
    asked = wants.asked()
    return Surface(
        {name: value if asked[name] == "gradient" else value.detach() for name, value in given.items()}
    )


def towards_camera(away: Tensor, normals: Tensor, inward: Tensor | None) -> Tensor:
    """(B, N, 3) unit normals on the camera's side.

    Those of a mesh's outer side that look away from the camera are mirrored in the plane across the line of
    sight. At an outline surfels are seen from just behind: turned round, their normals would point at the
    opposite side of the head, and be lit by what is there.

    Args:
        away: (B, N, 3) from the camera to the surfels, of any length.
        normals: (B, N, 3) unit.
        inward: (N,) bool, whose normals look into the mesh; None: there is no mesh, normals are turned round.
    """
    with torch.no_grad():
        wrong = (away * normals).sum(-1) > 0 if inward is None else inward
        side = (1.0 - 2.0 * wrong.to(normals.dtype))[..., None]
    outer = normals * side
    if inward is None:
        return outer
    slope = (2.0 / away.square().sum(-1, keepdim=True).clamp_min(TINY)) * (outer * away).sum(-1, keepdim=True)
    return outer - slope.clamp_min(0.0) * away


def _on_rest_mesh(binding: Binding, rest: RestMesh | None) -> Tensor:
    """(N, 3) where the surfels lie on the rest mesh, each carried by its own triangle."""
    offset = binding.parameters["offset"]
    if rest is None:
        return offset
    frames, host = rest.frames, binding.triangle
    turned = (frames.rotation[host] * offset[:, None, :]).sum(dim=-1)
    return turned * frames.scale[host][:, None] + frames.centroid[host]


def colours_of(
    appearance: Appearance,
    binding: Binding,
    directions: Tensor,
    normals: Tensor,
    rotation: Tensor,
    parts: bool,
    surface: Surface | None,
) -> Colour:
    """Call an appearance model with what it asks for: without a surface its call needs no such argument."""
    asked = () if surface is None else (surface,)
    made = appearance(binding, directions, normals, rotation, parts, *asked)
    colour = made_by("appearance", appearance.name, made, Colour)
    try:
        check_shape("rgb", colour.rgb, *directions.shape)
    except ShapeError as error:
        raise misfit("appearance", appearance.name, error) from error
    return colour


def surface_of_none(wants: SurfaceWants, like: Tensor) -> Surface | None:
    """What ``wants`` asks for, of no surfels in one view; for a look at what a model's call gives."""
    if not wants.any:
        return None
    asked = [name for name, ask in wants.asked().items() if ask != "no"]
    return Surface(
        {name: like.new_zeros((0, 3) if name == "rest_positions" else (1, 0, 3)) for name in asked}
    )


def seen_head_on(
    appearance: Appearance,
    binding: Binding,
    world: WorldSurfels,
    rotation: Tensor,
    rest: RestMesh | None,
) -> Tensor:
    """(N, 3) the colour each surfel shows along its own normal in the first pose, for files without light.

    Args:
        appearance: the model.
        binding: the surfels.
        world: where they are.
        rotation: (P, N, 3, 3) or (P, 1, 3, 3) world from rest.
        rest: the canonical mesh; None without a rig.
    """
    mean, normal = world.mean[:1], world.normal[:1]
    turn = rotation[:1].expand(1, len(world), 3, 3)
    nowhere = mean.new_zeros(1, 3)
    surface = surface_of(appearance.wants, -normal, normal, turn, nowhere, binding, rest)
    if surface is not None and "world_positions" in surface.given:
        surface = Surface({**surface.given, "world_positions": mean})
    facing = to_rest(turn, normal)
    return colours_of(appearance, binding, -facing, facing, turn, False, surface).rgb[0]

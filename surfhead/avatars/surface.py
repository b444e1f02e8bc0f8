"""What an appearance model asks for of the surfels' surface, worked out."""

from __future__ import annotations

from torch import Tensor

from surfhead.core.components import Appearance
from surfhead.core.errors import ShapeError
from surfhead.core.surface import Surface, SurfaceWants
from surfhead.core.types import Binding, Colour, RestMesh, WorldSurfels, check_shape
from surfhead.files.given import made_by, misfit
from surfhead.kernels.ops import to_rest


def surface_of(
    wants: SurfaceWants,
    means: Tensor,
    normals: Tensor,
    rotation: Tensor,
    binding: Binding,
    rest: RestMesh | None,
) -> Surface | None:
    """What ``wants`` asks for; None where it asks for nothing.

    Args:
        wants: the appearance model's.
        means: (B, N, 3) world centres, metres.
        normals: (B, N, 3) unit world normals on the cameras' side (``ops.facing_normals``).
        rotation: (B, N, 3, 3) world from rest.
        binding: the surfels.
        rest: the canonical mesh; None without a rig.
    """
    if not wants.any:
        return None
    given: dict[str, Tensor] = {}
    if wants.world_normals != "no":
        given["world_normals"] = normals
    if wants.rest_normals != "no":
        given["rest_normals"] = to_rest(rotation, normals)
    if wants.world_positions != "no":
        given["world_positions"] = means
    if wants.rest_positions != "no":
        given["rest_positions"] = _on_rest_mesh(binding, rest)
    asked = wants.asked()
    return Surface(
        {name: value if asked[name] == "gradient" else value.detach() for name, value in given.items()}
    )


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
    surface = surface_of(appearance.wants, mean, normal, turn, binding, rest)
    facing = to_rest(turn, normal)
    return colours_of(appearance, binding, -facing, facing, turn, False, surface).rgb[0]

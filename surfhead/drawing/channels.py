"""What can be seen of an avatar: its colours, its geometry, and how its surfels are bound and deformed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.avatars.rendering import Rendering
from surfhead.core.errors import OptionError, ShapeError, unknown_name
from surfhead.core.types import Cameras, RenderOutput, check_shape
from surfhead.drawing.colour_maps import distinct_colours, heat, normal_colours, ratio_colours
from surfhead.maths.geometry import largest_singular_value

FULL_ERROR = 0.2  # mean absolute colour error shown in white
FULL_STRETCH = 1.5  # stretch of the fullest red
FULL_SHADING = 2.0  # times the mean light shown in white
SOLID = 0.5  # alpha from which a pixel's depth is shown

CHANNELS: dict[str, str] = {
    "rgb": "The picture.",
    "normal": "Normals: red right, green up, blue towards the camera; black where nothing is.",
    "depth": "Depth along the camera's axis: near is white, far and nothing are black.",
    "alpha": "How much of each pixel is covered.",
    "diffuse": "The colour without highlights, over black.",
    "specular": "The highlights alone, over black; black for appearances that have none.",
    "albedo": "The base colour without light, over black; black for appearances that have none.",
    "shading": f"The light on the surface, white at {FULL_SHADING:g} times the mean light, over black.",
    "error": f"Mean absolute difference from the true picture: black 0, red, yellow, white {FULL_ERROR:g}.",
    "binding": "A colour of its own for the surfels of each triangle of the rig.",
    "blend": "Weight of the surfel's own triangle among those that carry it: black 0, white 1.",
    "observed": "How well the training views know each surfel: black not, white well; grey unmeasured.",
    "stretch": f"Largest stretch since rest: grey none, red longer ({FULL_STRETCH:g}x), blue shorter.",
}
PARTS = ("diffuse", "specular", "albedo", "shading")
OF_SURFELS = ("binding", "blend", "observed", "stretch")


def paint(
    avatar: Avatar,
    camera: Cameras,
    pose: int | Mapping[str, Tensor],
    channels: Sequence[str],
    *,
    background: Tensor | None = None,
    depth_range: tuple[float, float] | None = None,
    truth: Tensor | None = None,
    opacity_scale: Tensor | None = None,
) -> dict[str, Tensor]:
    """Pictures of one view; rig and deformer run once for all of them. One thread at a time for an avatar.

    Args:
        avatar: what is drawn.
        camera: one camera.
        pose: a timestep of the avatar's own motion, or rig parameters name -> (d,) or (1, d).
        channels: names out of ``CHANNELS``.
        background: (3,) RGB in [0, 1]; by default the avatar's own.
        depth_range: camera z in metres that is white, and black; by default that of what is drawn.
        truth: (H, W, 3) in [0, 1], which ``error`` needs.
        opacity_scale: (N,) factor of each surfel's opacity; 0 hides it.

    Returns:
        Channel -> (H, W, 3) in [0, 1] on the avatar's device.

    Raises:
        UnknownNameError: there is no such channel.
        OptionError: ``error`` without a truth, or a timestep outside the motion.
        ShapeError: more than one camera, or values of a wrong shape.
    """
    check_channels(channels, truth is not None)
    rendering = avatar.render(
        camera,
        pose,
        background=background,
        parts=any(name in PARTS for name in channels),
        opacity_scale=opacity_scale,
        borrow=True,  # nothing of it is handed on: `pictures_of` makes its own
    )
    return pictures_of(
        avatar, rendering, camera, channels, background=background, depth_range=depth_range, truth=truth
    )


def check_channels(channels: Sequence[str], has_truth: bool) -> None:
    """Raise UnknownNameError for a channel that does not exist, OptionError for ``error`` without a truth."""
    for name in channels:
        if name not in CHANNELS:
            raise unknown_name("channel", name, CHANNELS, "Choose one of these.")
    if "error" in channels and not has_truth:
        raise OptionError(
            'Channel "error" needs the true picture.',
            "It is known for the views of the avatar's data only.",
            "Draw a split's views, or choose another channel.",
        )


def pictures_of(
    avatar: Avatar,
    rendering: Rendering,
    camera: Cameras,
    channels: Sequence[str],
    *,
    background: Tensor | None = None,
    depth_range: tuple[float, float] | None = None,
    truth: Tensor | None = None,
) -> dict[str, Tensor]:
    """The channels of what ``avatar.render`` gave for one camera; arguments and errors as of ``paint``.

    The ``PARTS`` need a rendering with ``parts``.
    """
    check_channels(channels, truth is not None)
    output = rendering.output
    if len(output.rgb) != 1:
        raise ShapeError(
            f"Channels of {len(output.rgb)} views at once.", "Expected one view.", "Take the cameras in turn."
        )
    made: dict[str, Tensor] = {}
    with torch.no_grad():
        wanted = [name for name in OF_SURFELS if name in channels]
        if wanted:
            made |= _of_surfels(avatar, rendering, camera, wanted, background)
        for name in channels:
            if name in PARTS:
                part = rendering.parts.get(name)
                made[name] = torch.zeros_like(output.rgb[0]) if part is None else part[0]
                if name == "shading":
                    made[name] = made[name] / FULL_SHADING
            elif name not in made:
                made[name] = _of_pixels(output, name, depth_range, truth)
    return {name: made[name].clamp(0.0, 1.0) for name in channels}


def _of_pixels(
    output: RenderOutput, name: str, depth_range: tuple[float, float] | None, truth: Tensor | None
) -> Tensor:
    alpha = output.alpha[0]
    if name == "rgb":
        return output.rgb[0]
    if name == "normal":
        return normal_colours(output.normal[0]) * alpha[..., None]
    if name == "depth":
        near, far = depth_range or depth_limits(output) or (0.0, 1.0)
        grey = ((far - output.depth[0]) / max(far - near, 1e-9)).clamp(0.0, 1.0) * (alpha > SOLID)
        return grey[..., None].expand(-1, -1, 3)
    if name == "error" and truth is not None:
        check_shape("truth", truth, *output.rgb[0].shape)
        error = (output.rgb[0].clamp(0.0, 1.0) - truth.to(output.rgb)).abs().mean(dim=-1)
        return heat(error / FULL_ERROR)
    return alpha[..., None].expand(-1, -1, 3)


def _of_surfels(
    avatar: Avatar, rendering: Rendering, camera: Cameras, names: list[str], background: Tensor | None
) -> dict[str, Tensor]:
    """Pictures of values that each surfel has, drawn together in one call of the rasterizer."""
    world, binding = rendering.surfels, avatar.surfels.binding()
    colours = []
    for name in names:
        if name == "binding":
            colours.append(distinct_colours(binding.triangle))
        elif name == "blend":
            colours.append(heat(avatar.deformer.host_weight(binding)))
        elif name == "observed":
            unmeasured = torch.full((len(binding), 3), 0.5, device=avatar.device)
            colours.append(unmeasured if avatar.observed is None else heat(avatar.observed))
        else:
            colours.append(ratio_colours(stretch(rendering, binding.triangle), FULL_STRETCH))
    behind = (avatar.background if background is None else background.to(avatar.background)).expand(1, 3)
    drawn = avatar.rasterizer(
        world,
        torch.cat([colour.to(world.mean) for colour in colours], dim=-1)[None],
        camera.to(avatar.device, avatar.background.dtype),
        torch.zeros(1, dtype=torch.int64, device=avatar.device),
        behind.repeat(1, len(names)),
    ).rgb[0]
    return dict(zip(names, torch.split(drawn, 3, dim=-1), strict=True))


def stretch(rendering: Rendering, triangle: Tensor) -> Tensor:
    """(N,) largest singular value of each surfel's map from the rest pose to the first pose drawn.

    The field's linear part is (affine deformation) k R̄ with k the rest triangle's scale and R̄ a rotation,
    which has no part in the singular values; without a rig nothing is stretched and it is 1.

    Args:
        rendering: what the avatar drew.
        triangle: (N,) int64 host triangles.
    """
    length = largest_singular_value(rendering.field.linear[0])
    if rendering.mesh is None:
        return length
    return length / rendering.mesh.rest.frames.scale[triangle].clamp_min(1e-12)


def depth_limits(output: RenderOutput) -> tuple[float, float] | None:
    """Camera z of what is drawn solidly, a tenth of its depth added at both ends; None if nothing is."""
    drawn = output.depth[output.alpha > SOLID]
    if len(drawn) == 0:
        return None
    near, far = float(drawn.min()), float(drawn.max())
    return near - 0.1 * (far - near), far + 0.1 * (far - near)

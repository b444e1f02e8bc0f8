"""What can be seen of an avatar: its colours, its geometry, and how its surfels are bound and deformed.

One rule for backgrounds: where nothing is, every channel shows the background that was chosen, by default the
avatar's own, and a surface that covers half a pixel hides half of it. Only ``alpha`` and ``error`` have a
value there, too, and show it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.avatars.rendering import Rendering
from surfhead.core.errors import OptionError, ShapeError, unknown_name
from surfhead.core.types import Cameras, RenderOutput, check_shape
from surfhead.drawing.colour_bar import with_bar
from surfhead.drawing.colour_maps import distinct_colours, normal_colours
from surfhead.drawing.pictures import Coming, to_bytes
from surfhead.drawing.scalars import FULL_ERROR, FULL_STRETCH, SCALARS, Legend, Scale, roomy
from surfhead.maths.geometry import largest_singular_value

FULL_SHADING = 2.0  # times the mean light shown in white
SOLID = 0.5  # alpha from which a pixel's depth is shown

CHANNELS: dict[str, str] = {
    "rgb": "The picture.",
    "normal": "Normals: red right, green up, blue towards the camera.",
    "depth": "Depth along the camera's axis, in metres: near is bright.",
    "alpha": "How much of each pixel is covered, everywhere.",
    "diffuse": "The colour without highlights.",
    "specular": "The highlights alone; black for appearances that have none.",
    "albedo": "The base colour without light; black for appearances that have none.",
    "shading": f"The light on the surface, white at {FULL_SHADING:g} times the mean light.",
    "error": f"Mean absolute difference from the true picture, everywhere: 0 to {FULL_ERROR:g}.",
    "binding": "A colour of its own for the surfels of each triangle of the rig.",
    "blend": "Weight of the surfel's own triangle among those that carry it: 0 to 1.",
    "observed": "How well the training views know each surfel: 0 not, 1 well; grey unmeasured.",
    "stretch": f"Largest stretch since rest: grey none, red longer ({FULL_STRETCH:g}x), blue shorter.",
}
PARTS = ("diffuse", "specular", "albedo", "shading")
OF_SURFELS = ("binding", "blend", "observed", "stretch")
UNMEASURED = 0.5  # grey


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
    scale: Scale | None = None,
) -> dict[str, Tensor]:
    """Pictures of one view; rig and deformer run once for all of them. One thread at a time for an avatar.

    Args:
        avatar: what is drawn.
        camera: one camera.
        pose: a timestep of the avatar's own motion, or rig parameters name -> (d,) or (1, d).
        channels: names out of ``CHANNELS``.
        background: (3,) RGB in [0, 1]; by default the avatar's own.
        depth_range: camera z in metres at the near and the far end; by default that of what is drawn.
        truth: (H, W, 3) in [0, 1], which ``error`` needs.
        opacity_scale: (N,) factor of each surfel's opacity; 0 hides it.
        scale: colour map and range of the channels of one number; it learns what their colours mean.

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
        avatar,
        rendering,
        camera,
        channels,
        background=background,
        depth_range=depth_range,
        truth=truth,
        scale=scale,
    )


def begun(
    avatar: Avatar,
    camera: Cameras,
    pose: int | Mapping[str, Tensor],
    channel: str,
    *,
    background: Tensor | None = None,
    truth: Tensor | None = None,
    opacity_scale: Tensor | None = None,
    scale: Scale | None = None,
) -> Coming:
    """One channel of a view in 8 bits (H, W, 3), begun; arguments and errors as of ``paint``."""
    if channel == "rgb":
        pixels = avatar.pixels(camera, pose, background=background, opacity_scale=opacity_scale)
        _one_view(len(pixels))
        return Coming(pixels[0])
    painted = paint(
        avatar,
        camera,
        pose,
        [channel],
        background=background,
        truth=truth,
        opacity_scale=opacity_scale,
        scale=scale,
    )
    return Coming.of(painted[channel])


def _one_view(count: int) -> None:
    if count != 1:
        raise ShapeError(
            f"Channels of {count} views at once.", "Expected one view.", "Take the cameras in turn."
        )


def check_channels(channels: Sequence[str], has_truth: bool) -> None:
    """Raise UnknownNameError for a channel that does not exist, OptionError for ``error`` without a truth."""
    for name in channels:
        if name not in CHANNELS:
            raise unknown_name("channel", name, CHANNELS, "Choose one of these with --channel.")
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
    scale: Scale | None = None,
) -> dict[str, Tensor]:
    """The channels of what ``avatar.render`` gave for one camera; arguments and errors as of ``paint``.

    The ``PARTS`` need a rendering with ``parts``.
    """
    check_channels(channels, truth is not None)
    output = rendering.output
    _one_view(len(output.rgb))
    scale = scale or Scale()
    alpha = output.alpha[0][..., None]
    behind = (1.0 - alpha) * (avatar.background if background is None else background.to(avatar.background))
    made: dict[str, Tensor] = {}
    with torch.no_grad():
        carried = _of_surfels(avatar, rendering, camera, [name for name in OF_SURFELS if name in channels])
        for name in channels:
            if name == "observed" and avatar.observed is None:
                made[name] = UNMEASURED * alpha + behind
            elif name in SCALARS:
                values = carried.get(name)
                if values is None:
                    values = _of_pixels(output, name, truth)[..., None]
                legend = scale.legend(
                    name, values[..., 0], alpha[..., 0] > SOLID, depth_range if name == "depth" else None
                )
                made[name] = legend.colours(values[..., 0])
                if not SCALARS[name].everywhere:
                    made[name] = made[name] * alpha + behind
                if scale.bar:
                    made[name] = _barred(made[name], legend)
            elif name == "rgb":
                made[name] = output.rgb[0]
            elif name == "normal":
                made[name] = normal_colours(output.normal[0]) * alpha + behind
            elif name in PARTS:
                part = rendering.parts.get(name)
                light = torch.zeros_like(output.rgb[0]) if part is None else part[0]
                made[name] = (light / FULL_SHADING if name == "shading" else light) + behind
            else:
                made[name] = carried[name] * alpha + behind
    return {name: made[name].clamp(0.0, 1.0) for name in channels}


def _barred(picture: Tensor, legend: Legend) -> Tensor:
    barred = torch.from_numpy(with_bar(to_bytes(picture), legend).copy())
    return barred.to(picture) / 255.0


def _of_pixels(output: RenderOutput, name: str, truth: Tensor | None) -> Tensor:
    """(H, W) the numbers of a channel that the pixels have."""
    if name == "depth":
        return output.depth[0]
    if name == "error" and truth is not None:
        check_shape("truth", truth, *output.rgb[0].shape)
        return (output.rgb[0].clamp(0.0, 1.0) - truth.to(output.rgb)).abs().mean(dim=-1)
    return output.alpha[0]


def surfel_values(avatar: Avatar, rendering: Rendering, name: str) -> Tensor:
    """(N, 1) the numbers, or (N, 3) the colours, that surfels have in one of ``OF_SURFELS``."""
    binding = avatar.surfels.binding()
    if name == "binding":
        return distinct_colours(binding.triangle)
    if name == "blend":
        return avatar.deformer.host_weight(binding)[:, None]
    if name == "observed":
        nothing = torch.full((len(binding),), UNMEASURED, device=avatar.device)
        return (nothing if avatar.observed is None else avatar.observed)[:, None]
    return stretch(rendering, binding.triangle)[:, None]


def _of_surfels(
    avatar: Avatar, rendering: Rendering, camera: Cameras, names: Sequence[str]
) -> dict[str, Tensor]:
    """Means over each pixel of what the surfels have, drawn together in one call of the rasterizer."""
    if not names:
        return {}
    world = rendering.surfels
    values = [surfel_values(avatar, rendering, name).to(world.mean) for name in names]
    sizes = [value.shape[-1] for value in values]
    drawn = avatar.rasterizer(
        world,
        torch.cat(values, dim=-1)[None],
        camera.to(avatar.device, avatar.background.dtype),
        torch.zeros(1, dtype=torch.int64, device=avatar.device),
        avatar.background.new_zeros(1, sum(sizes)),
    )
    means = drawn.rgb[0] / drawn.alpha[0][..., None].clamp_min(1e-9)
    return dict(zip(names, torch.split(means, sizes, dim=-1), strict=True))


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
    return roomy(output.depth[output.alpha > SOLID])

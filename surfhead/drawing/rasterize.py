"""The public function that draws surfels, for use without an avatar or a trainer."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from surfhead.avatars.posing import cameras_of
from surfhead.core.components import Rasterizer
from surfhead.core.errors import ShapeError, SurfheadError
from surfhead.core.registry import registry
from surfhead.core.types import Cameras, RenderOutput, WorldSurfels, check_finite, check_shape
from surfhead.files.given import instance_of


def rasterize(
    surfels: WorldSurfels,
    colour: Tensor,
    cameras: Cameras,
    pose_of_view: Tensor | None = None,
    background: Tensor | None = None,
    rasterizer: str | Rasterizer = "auto",
) -> RenderOutput:
    """Draw B views of N surfels in P poses, differentiably (docs/method.md, section 5).

    Gradients reach means, tangents, normals, opacities, colours and the background; cameras are constants.

    Args:
        surfels: N surfels in P poses, metres.
        colour: (B, N, C), or (N, C) for the same colours in every view.
        cameras: B cameras.
        pose_of_view: (B,) int64 pose each view shows. Default: pose 0 when there is one pose, view b
            shows pose b when there are B.
        background: (B, C) or (C,); black by default.
        rasterizer: a registered name, ``auto`` for the best one available here, or a made rasterizer.

    Returns:
        Pictures, alpha, normals, depths, distortion; visibility and radius of each surfel.

    Raises:
        OptionError: what is given is no surfels, or no rasterizer.
        ShapeError: a wrong shape, device or dtype, a pose that does not exist, or NaN or infinity.
        UnknownNameError, UnavailableError: the rasterizer does not exist, or cannot run here.
    """
    remedy = (
        "An avatar's are avatar.render(...).surfels; others are made of their means, tangents and normals."
    )
    instance_of(surfels, WorldSurfels, "surfels", "a surfhead.WorldSurfels", remedy)
    views, (poses, count) = len(cameras_of(cameras)), surfels.mean.shape[:2]
    for name, given in (("colour", colour), ("pose_of_view", pose_of_view), ("background", background)):
        if not (isinstance(given, Tensor) or (given is None and name != "colour")):
            raise _mismatch(name, f"a {type(given).__name__}", "a tensor", "Convert it with torch.tensor.")
    device, dtype = surfels.mean.device, surfels.mean.dtype
    if dtype not in (torch.float32, torch.float64):
        raise _mismatch("mean", dtype, "float32 or float64", "Convert the surfels with .float().")
    for name in ("mean", "tangents", "normal", "opacity"):
        _same(name, getattr(surfels, name), device, dtype)
        check_finite(name, getattr(surfels, name))
    if colour.dim() == 2:
        colour = colour.expand(views, *colour.shape)
    check_shape("colour", colour, views, count, None)
    _same("colour", colour, device, dtype)
    check_finite("colour", colour)
    channels = colour.shape[-1]
    if background is None:
        background = colour.new_zeros(views, channels)
    if background.dim() == 1:
        background = background.expand(views, *background.shape)
    check_shape("background", background, views, channels)
    _same("background", background, device, dtype)
    check_finite("background", background)
    if cameras.camera_from_world.device != device:
        cameras = cameras.to(device)
    pose_of_view = _poses(pose_of_view, views, poses, device)
    if isinstance(rasterizer, str):
        rasterizer = cast(Rasterizer, registry().create("rasterizer", rasterizer, device=device.type))
    expected, remedy = "a name, or a rasterizer that was made", "See `surfhead list rasterizer`."
    instance_of(rasterizer, Rasterizer, "a rasterizer", expected, remedy)  # type: ignore[type-abstract]
    if not rasterizer.supports(device.type):
        raise SurfheadError(
            f'Rasterizer "{rasterizer.name}" cannot draw tensors on "{device.type}".',
            f"For {device.type}: {', '.join(registry().usable('rasterizer', device.type))}.",
            "Move the surfels, or choose one of these.",
        )
    return rasterizer(surfels, colour, cameras, pose_of_view, background)


def _poses(pose_of_view: Tensor | None, views: int, poses: int, device: torch.device) -> Tensor:
    if pose_of_view is None:
        if poses not in (1, views):
            raise ShapeError(
                f'"pose_of_view" is missing for {views} views of {poses} poses.',
                "It may be left out with one pose, or with as many poses as views.",
                "Say which pose each view shows.",
            )
        return (
            torch.arange(views, device=device)
            if poses == views
            else torch.zeros_like(torch.arange(views, device=device))
        )
    check_shape("pose_of_view", pose_of_view, views)
    if pose_of_view.dtype != torch.int64:
        raise _mismatch("pose_of_view", pose_of_view.dtype, "int64", "Convert it with .long().")
    if views and not (int(pose_of_view.min()) >= 0 and int(pose_of_view.max()) < poses):
        raise ShapeError(
            f'"pose_of_view" names pose {int(pose_of_view.max())} or {int(pose_of_view.min())}.',
            f"Expected 0 to {poses - 1}.",
            "Check how views and poses were paired.",
        )
    return pose_of_view.to(device)


def _same(name: str, tensor: Tensor, device: torch.device, dtype: torch.dtype) -> None:
    if tensor.device != device:
        raise _mismatch(name, tensor.device, f"{device}, where the means are", "Move it there.")
    if tensor.dtype != dtype:
        raise _mismatch(name, tensor.dtype, f"{dtype}, as the means are", "Convert it.")


def _mismatch(name: str, got: object, expected: str, remedy: str) -> ShapeError:
    return ShapeError(f'"{name}" is {got}.', f"Expected {expected}.", remedy)

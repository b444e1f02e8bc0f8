"""The public function that draws surfels: defaults, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import surfhead
from surfhead.core.errors import ShapeError, UnknownNameError
from surfhead.core.types import Cameras, WorldSurfels
from surfhead.plugins.rasterizers.reference import Torch


def make(views: int = 1, poses: int = 1, count: int = 6) -> dict[str, Any]:
    """Arguments of a small drawing."""
    g = torch.Generator().manual_seed(0)
    mean = 0.1 * torch.randn(poses, count, 3, generator=g) + torch.tensor([0.0, 0.0, 1.0])
    frame = torch.linalg.qr(torch.randn(poses, count, 3, 3, generator=g))[0]
    surfels = WorldSurfels(mean, 0.05 * frame[..., :2], frame[..., 2], torch.rand(count, generator=g))
    K = torch.tensor([[20.0, 0, 8], [0, 20, 6], [0, 0, 1]]).repeat(views, 1, 1)
    cameras = Cameras(torch.eye(4).repeat(views, 1, 1), K, 12, 16)
    return {"surfels": surfels, "colour": torch.rand(views, count, 3, generator=g), "cameras": cameras}


@pytest.mark.parametrize("rasterizer", ["auto", "torch", Torch()])
def test_draws(rasterizer: Any) -> None:
    """By name, by `auto`, and with a made rasterizer."""
    drawn = surfhead.rasterize(**make(2), rasterizer=rasterizer)
    assert drawn.rgb.shape == (2, 12, 16, 3)
    assert drawn.alpha.shape == drawn.depth.shape == drawn.median_depth.shape == (2, 12, 16)
    assert float(drawn.alpha.max()) > 0.1
    assert drawn.visible.dtype == torch.bool


def test_defaults() -> None:
    """One colour for all views, one background, black by default; view b shows pose b."""
    arguments = make(views=2, poses=2)
    colour = arguments["colour"][0]
    given = {**arguments, "colour": colour, "background": torch.tensor([1.0, 0.0, 0.0])}
    drawn = surfhead.rasterize(**given)
    torch.testing.assert_close(drawn.rgb[0, 0, 0], torch.tensor([1.0, 0.0, 0.0]))
    black = surfhead.rasterize(**{**arguments, "colour": colour})
    torch.testing.assert_close(drawn.rgb[..., 1:], black.rgb[..., 1:])
    swapped = surfhead.rasterize(**given, pose_of_view=torch.tensor([1, 0]))
    torch.testing.assert_close(swapped.rgb.flip(0), drawn.rgb)


def changed(**surfels: Tensor) -> dict[str, Any]:
    """The arguments with other surfels."""
    arguments = make()
    return {**arguments, "surfels": replace(arguments["surfels"], **surfels)}


def nan_camera() -> dict[str, Any]:
    """A camera with NaN."""
    arguments = make()
    pose = torch.eye(4)[None].clone()
    pose[0, 1, 3] = float("nan")
    return {**arguments, "cameras": replace(arguments["cameras"], camera_from_world=pose)}


REFUSED = {
    "nan in a camera": (nan_camera, r'"camera_from_world" holds NaN or infinity, first at index \[0, 1, 3\]'),
    "nan in the means": (
        lambda: changed(mean=torch.full((1, 6, 3), float("nan"))),
        '"mean" holds NaN or infinity',
    ),
    "half precision": (lambda: changed(mean=torch.zeros(1, 6, 3).half()), '"mean" is torch.float16'),
    "mixed precision": (lambda: changed(opacity=torch.zeros(6).double()), '"opacity" is torch.float64'),
    "colours of other surfels": (
        lambda: {**make(), "colour": torch.zeros(1, 5, 3)},
        r'"colour" has shape \(1, 5, 3\)',
    ),
    "background of other channels": (
        lambda: {**make(), "background": torch.zeros(4)},
        r'"background" has shape \(1, 4\)',
    ),
    "a pose that does not exist": (
        lambda: {**make(), "pose_of_view": torch.tensor([1])},
        '"pose_of_view" names pose 1',
    ),
    "float poses": (lambda: {**make(), "pose_of_view": torch.zeros(1)}, '"pose_of_view" is torch.float32'),
    "no poses named": (lambda: make(views=3, poses=2), '"pose_of_view" is missing for 3 views of 2 poses'),
}


@pytest.mark.parametrize(("build", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refuses(build: Any, message: str) -> None:
    """Each wrong input, with the name of what is wrong."""
    with pytest.raises(ShapeError, match=message):
        surfhead.rasterize(**build())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"colour": None}, '"colour" is a NoneType.'),
        ({"colour": [[0.0] * 3] * 6}, '"colour" is a list.'),
        ({"background": [0.0, 0.0, 0.0]}, '"background" is a list.'),
        ({"pose_of_view": [0]}, '"pose_of_view" is a list.'),
        ({"cameras": None}, "A NoneType is not cameras."),
    ],
)
def test_what_is_no_tensor_is_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        surfhead.rasterize(**{**make(), **wrong})


def test_unknown_rasterizer() -> None:
    """A name nobody registered, with a suggestion."""
    with pytest.raises(UnknownNameError, match='Unknown rasterizer "touch". Did you mean "torch"'):
        surfhead.rasterize(**make(), rasterizer="touch")


def test_a_rasterizer_for_another_device() -> None:
    """Tensors of a device the rasterizer cannot draw are refused before it is called."""
    from surfhead.core.errors import SurfheadError
    from surfhead.plugins.rasterizers.cuda import Cuda

    with pytest.raises(SurfheadError, match='Rasterizer "cuda" cannot draw tensors on "cpu"'):
        surfhead.rasterize(**make(), rasterizer=Cuda())

"""The CUDA rasterizer against the float64 reference, and against itself."""

from __future__ import annotations

import os

import pytest
import torch

from benchmarks.head_scene import head_scene
from surfhead.core.api import ShapeError
from surfhead.kernels import cuda as cuda_kernels
from surfhead.kernels import cuda_room
from surfhead.plugins.rasterizers.cuda import Cuda
from surfhead.plugins.rasterizers.reference import Torch
from tests.gpu.scenes import (
    IMAGES,
    Drawing,
    assert_agreement,
    garden_scene,
    gradients,
    loss_weights,
    random_scene,
)

pytestmark = pytest.mark.gpu

SCENES = {
    "mixed": {},
    "tiny surfels": {"size": 0.002, "count": 4000},
    "whole-screen surfels": {"size": 1.0, "count": 60},
    "around the cameras": {"spread": 1.0, "count": 600},
    "many overlapping": {"count": 3000, "size": 0.1, "height": 40, "width": 40},
    "one column of pixels": {"width": 1, "height": 33},
    "few surfels": {"count": 8, "spread": 0.05, "size": 0.1},
    "larger picture": {"count": 3000, "height": 300, "width": 411, "size": 0.02},
}


@pytest.mark.parametrize("settings", SCENES.values(), ids=SCENES.keys())
def test_agrees_with_the_reference(settings: dict[str, float]) -> None:
    """Outputs and gradients of random scenes."""
    assert_agreement(Cuda(), Torch(), random_scene(**settings))


def test_agrees_on_the_head() -> None:
    """The benchmark's ellipsoid, two poses."""
    assert_agreement(Cuda(), Torch(), Drawing(*head_scene(20_000, 2)))


@pytest.mark.skipif("SURFHEAD_GARDEN_POINTS" not in os.environ, reason="needs the garden's points")
def test_agrees_on_a_real_capture() -> None:
    """138k points of a garden, three cameras."""
    assert_agreement(Cuda(), Torch(), garden_scene())


def test_batch_equals_singles() -> None:
    """Eight views of eight poses in one call draw what eight calls draw."""
    drawing = Drawing(*head_scene(5000, 8, 200, 150))
    output, found = gradients(Cuda(), drawing)
    weights = loss_weights(output)
    for view in range(8):
        one = slice(view, view + 1)
        single, alone = gradients(
            Cuda(), drawing.view(view), {name: value[one] for name, value in weights.items()}
        )
        for name in (*IMAGES, "visible", "radius"):
            assert torch.equal(getattr(single, name)[0], getattr(output, name)[view]), name
        for name in ("mean", "tangents", "normal", "colour"):
            error = (alone[name][0] - found[name][view]).norm() / found[name][view].norm()
            assert float(error) < 1e-5, name


def test_views_of_one_pose_add_up() -> None:
    """Gradients of several views of one pose are the sum of each view's."""
    drawing = random_scene(views=3, poses=1)
    output, found = gradients(Cuda(), drawing)
    weights = loss_weights(output)
    total = sum(
        gradients(Cuda(), drawing.view(v), {k: w[v : v + 1] for k, w in weights.items()})[1]["mean"]
        for v in range(3)
    )
    assert float((found["mean"] - total).norm() / total.norm()) < 1e-5


def test_runs_differ_only_by_summation_order() -> None:
    """Pictures are equal bit for bit, gradients to rounding."""
    drawing = random_scene(count=3000)
    first, gradient = gradients(Cuda(), drawing)
    for _ in range(3):
        again, other = gradients(Cuda(), drawing)
        for name in IMAGES:
            assert torch.equal(getattr(first, name), getattr(again, name)), name
        for name, value in gradient.items():
            assert float((other[name] - value).norm() / value.norm()) < 1e-5, name


@pytest.mark.parametrize("subset", [("rgb",), ("rgb", "normal"), ("depth", "rgb"), ("distortion", "alpha")])
def test_partial_losses(subset: tuple[str, ...]) -> None:
    """A loss on some of the pictures takes another kernel and gives the same gradients."""
    drawing = random_scene()
    weights = loss_weights(drawing.draw(Cuda()))
    found = gradients(Cuda(), drawing, {name: weights[name] for name in subset})[1]
    exact = gradients(
        Cuda(), drawing, {k: w if k in subset else torch.zeros_like(w) for k, w in weights.items()}
    )[1]
    for name, value in exact.items():
        assert float((found[name] - value).norm()) <= 1e-5 * float(value.norm()) + 1e-12, name


@pytest.mark.parametrize("capacity", [1, 500, 3000])
def test_spilled_tiles_are_complete(capacity: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With far too little room the pictures are the same bits, and the next call has room."""
    drawing = random_scene(count=500, views=2, size=0.1)
    exact, gradient = gradients(Cuda(), drawing)
    torch.cuda.synchronize()
    cuda_kernels.check_overflow()  # forget what earlier calls met
    with monkeypatch.context() as patch:
        patch.setattr(cuda_room, "planned_capacity", lambda *_: max(capacity, 500))
        spilled, found = gradients(Cuda(), drawing)
        torch.cuda.synchronize()
        assert cuda_kernels.check_overflow()
    for name in IMAGES:
        assert torch.equal(getattr(exact, name), getattr(spilled, name)), name
    for name, value in gradient.items():
        assert float((found[name] - value).norm() / value.norm()) < 1e-5, name
    gradients(Cuda(), drawing)
    torch.cuda.synchronize()
    assert not cuda_kernels.check_overflow()


def test_room_grows_by_itself() -> None:
    """A scene that needs more than the first guess is drawn right at once and has room at the next call."""
    drawing = random_scene(count=300, views=1, size=2.0, height=333, width=217)
    first = drawing.draw(Cuda())
    torch.cuda.synchronize()
    assert cuda_kernels.check_overflow()
    second = drawing.draw(Cuda())
    torch.cuda.synchronize()
    assert not cuda_kernels.check_overflow()
    third = drawing.draw(Cuda())
    for name in IMAGES:
        assert torch.equal(getattr(first, name), getattr(second, name)), name
        assert torch.equal(getattr(first, name), getattr(third, name)), name


def test_empty_scene_is_background() -> None:
    """No surfels: the background, zeros, and gradients of no rows."""
    drawing = random_scene(count=0)
    output, found = gradients(Cuda(), drawing)
    expected = drawing.background[:, None, None].expand_as(output.rgb)
    assert torch.equal(output.rgb, expected)
    assert not bool(output.alpha.any())
    assert found["mean"].shape == (2, 0, 3)


@pytest.mark.parametrize("channels", [1, 2, 5, 7])
def test_channels(channels: int) -> None:
    """Other numbers of channels than three, with gradients."""
    drawing = random_scene()
    g = torch.Generator().manual_seed(1)
    colour = torch.rand(3, 400, channels, generator=g).cuda()
    background = torch.rand(3, channels, generator=g).cuda()
    wide = Drawing(drawing.surfels, colour, drawing.cameras, drawing.pose_of_view, background)
    assert_agreement(Cuda(), Torch(), wide)


def test_clear_errors() -> None:
    """Doubles and a near plane behind the camera are refused in words."""
    drawing = random_scene()
    with pytest.raises(ShapeError, match="float32"):
        drawing.to("cuda", torch.float64).draw(Cuda())
    with pytest.raises(ShapeError, match="near"):
        random_scene(near=-1.0).draw(Cuda())

"""The CPU kernels against the float64 reference: in double to 1e-9, in single to the method's tolerances."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from surfhead import kernels
from surfhead.core.api import Cameras, SurfheadError, WorldSurfels
from surfhead.plugins.rasterizers.cpu import Cpu
from surfhead.plugins.rasterizers.reference import Torch
from tests.gpu.scenes import (
    IMAGES,
    Drawing,
    compare_gradients,
    compare_outputs,
    gradients,
    loss_weights,
)
from tests.plugins.rasterizers import scenes

pytestmark = pytest.mark.skipif(
    kernels.unavailable("cpu") is not None, reason="the CPU kernels are not built"
)

SETS = kernels.cpu.instruction_sets() if kernels.unavailable("cpu") is None else ()
SCENES = {
    "one view": {"seed": 0, "count": 400, "height": 45, "width": 53},
    "three views of two poses": {"seed": 1, "views": 3, "poses": 2, "count": 200, "height": 31, "width": 37},
    "many stacked": {"seed": 2, "count": 1500, "height": 17, "width": 19},
    "one row": {"seed": 4, "height": 1, "width": 21},
    "one surfel": {"seed": 5, "count": 1, "views": 3},
}


@pytest.fixture(scope="module")
def references() -> dict[str, Any]:
    """Scene name -> scene, loss weights, the reference's outputs and gradients; computed once."""
    found: dict[str, Any] = {}
    for name, settings in SCENES.items():
        drawing = scenes.mixed(**settings)  # type: ignore[arg-type]
        weights = loss_weights(drawing.draw(Cpu()))
        found[name] = (drawing, weights, *gradients(Torch(), drawing, weights))
    return found


@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("name", SCENES)
def test_double_equals_the_reference(
    name: str, instruction_set: str, references: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every output and gradient to 1e-9 of its largest value, with every instruction set there is."""
    monkeypatch.setenv(kernels.cpu.ENVIRONMENT, instruction_set)
    drawing, weights, exact, exact_gradients = references[name]
    output, found = gradients(Cpu(), drawing, weights)
    for image in (*IMAGES, "radius"):
        expected = getattr(exact, image)
        error = (getattr(output, image) - expected).detach().abs().max()
        assert float(error) <= 1e-9 * max(1.0, float(expected.detach().abs().max())), image
    assert torch.equal(output.visible, exact.visible)
    for parameter, expected in exact_gradients.items():
        error = (found[parameter] - expected).abs().max()
        assert float(error) <= 1e-9 * max(1.0, float(expected.abs().max())), parameter


@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("name", SCENES)
def test_single_is_within_the_tolerances(
    name: str, instruction_set: str, references: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/method.md, section 5: pixels within 1e-4 of the range, gradients 2e-3 and 5e-5."""
    monkeypatch.setenv(kernels.cpu.ENVIRONMENT, instruction_set)
    drawing, weights, exact, exact_gradients = references[name]
    output, found = gradients(Cpu(), scenes.cast(drawing, torch.float32), weights)
    rows = compare_outputs(output, exact) + compare_gradients(found, exact_gradients)
    assert all(row.acceptable for row in rows), rows


def test_the_scenes_hold_what_they_promise(references: dict[str, Any]) -> None:
    """Culled and visible surfels, whole-screen footprints, stops, pairs on the screen-space floor."""
    drawing, _, exact, exact_gradients = references["one view"]
    depth = (drawing.surfels.mean[0] @ drawing.cameras.camera_from_world[0, :3, :3].mT)[:, 2] + 1.5
    assert int((depth < drawing.cameras.near).sum()) > 10
    assert 100 < int(exact.visible.sum()) < len(depth)
    assert int((exact.radius == max(drawing.cameras.width, drawing.cameras.height) / 2).sum()) >= 1
    assert float(exact.alpha.detach().max()) > 0.999
    assert float(exact_gradients["normal"].abs().sum()) > 0


@pytest.mark.skipif(not scenes.GARDEN.is_file(), reason="the garden's points are not here")
def test_a_real_capture() -> None:
    """20k points of a garden, three cameras, a twentieth of the resolution."""
    drawing = scenes.garden(shrink=20, every=7)
    output = drawing.draw(Cpu())
    weights = loss_weights(output)
    exact, exact_gradients = gradients(Torch(Torch.Options(tile=4)), drawing, weights)
    output, found = gradients(Cpu(), drawing, weights)
    for image in IMAGES:
        torch.testing.assert_close(getattr(output, image), getattr(exact, image), rtol=1e-9, atol=1e-9)
    single, found = gradients(Cpu(), scenes.cast(drawing, torch.float32), weights)
    rows = compare_outputs(single, exact) + compare_gradients(found, exact_gradients)
    assert all(row.acceptable for row in rows), rows


def test_threads_do_not_change_a_bit() -> None:
    """One and three threads give the same bits, in pictures and gradients."""
    drawing = scenes.cast(scenes.mixed(6, views=2), torch.float32)
    before = torch.get_num_threads()
    made = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            made.append(gradients(Cpu(), drawing))
    finally:
        torch.set_num_threads(before)
    for image in IMAGES:
        assert torch.equal(getattr(made[0][0], image), getattr(made[1][0], image)), image
    for parameter, value in made[0][1].items():
        assert torch.equal(value, made[1][1][parameter]), parameter


@pytest.mark.parametrize("used", [("rgb",), ("alpha", "normal"), ("distortion",), ("median_depth", "rgb")])
def test_gradients_of_some_outputs(used: tuple[str, ...]) -> None:
    """The cheaper variants for outputs without a gradient agree with the reference too."""
    drawing = scenes.mixed(7, count=200, height=31, width=35)
    weights = {name: w for name, w in loss_weights(drawing.draw(Cpu())).items() if name in used}
    _, exact = gradients(Torch(), drawing, weights)
    _, found = gradients(Cpu(), drawing, weights)
    for parameter, expected in exact.items():
        torch.testing.assert_close(found[parameter], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("channels", [0, 1, 2, 4, 7])
def test_any_number_of_channels(channels: int) -> None:
    """Colours are drawn three at a time; the other pictures are the first pass's, drawn once."""
    drawing = scenes.mixed(8, count=60, views=2, height=21, width=26)
    g = torch.Generator().manual_seed(0)
    colour = torch.rand(2, 60, channels, generator=g, dtype=torch.float64)
    background = torch.rand(2, channels, generator=g, dtype=torch.float64).requires_grad_()
    other = Drawing(drawing.surfels, colour, drawing.cameras, drawing.pose_of_view, background)
    output, found = gradients(Cpu(), other)
    exact, exact_gradients = gradients(Torch(), other)
    assert output.rgb.shape[-1] == channels
    torch.testing.assert_close(output.rgb, exact.rgb, rtol=1e-9, atol=1e-9)
    for parameter, expected in exact_gradients.items():
        torch.testing.assert_close(found[parameter], expected, rtol=1e-9, atol=1e-9)
    if channels:
        ours, theirs = (
            torch.autograd.grad(other.draw(rasterizer).rgb.square().sum(), background)[0]
            for rasterizer in (Cpu(), Torch())
        )
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_operator() -> None:
    """Schema, fake kernels, autograd registration, and tracing with dynamic shapes."""
    drawing = scenes.mixed(9, count=20, views=2, height=9, width=11)
    s = drawing.surfels
    cameras = torch.rand(2, 16, dtype=torch.float64)
    cameras[:, :9] = torch.eye(3).flatten()
    cameras[:, 12:14] = 9.0
    inputs = [t.requires_grad_() for t in (s.mean, s.tangents, s.normal, s.opacity, drawing.colour)]
    args = (*inputs, drawing.background, cameras, drawing.pose_of_view, 9, 11, 0.01)
    torch.library.opcheck(torch.ops.surfhead.rasterize_cpu.default, args)


def test_nothing_to_draw() -> None:
    """No surfels, or none in sight: the background, and zero gradients."""
    drawing = scenes.mixed(10, count=4)
    s = drawing.surfels
    forward = drawing.cameras.camera_from_world[0, 2, :3]
    away = WorldSurfels(s.mean - 100.0 * forward, s.tangents, s.normal, s.opacity)
    hidden = Drawing(away, drawing.colour, drawing.cameras, drawing.pose_of_view, drawing.background)
    none = Drawing(
        WorldSurfels(s.mean[:, :0], s.tangents[:, :0], s.normal[:, :0], s.opacity[:0]),
        drawing.colour[:, :0],
        drawing.cameras,
        drawing.pose_of_view,
        drawing.background,
    )
    for rasterizer in (Cpu(), Torch()):
        for empty in (hidden, none):
            output, found = gradients(rasterizer, empty)
            rgb = output.rgb.detach()
            assert torch.equal(rgb, drawing.background[:, None, None].expand_as(rgb))
            assert all(not bool(getattr(output, name).any()) for name in IMAGES[1:])
            assert all(not bool(g.any()) for g in found.values())
    no_views = torch.zeros(0, dtype=torch.int64)
    for rasterizer in (Cpu(), Torch()):
        output = rasterizer(
            s, drawing.colour[:0], drawing.cameras[no_views], no_views, drawing.background[:0]
        )
        assert output.rgb.shape == (0, drawing.cameras.height, drawing.cameras.width, 3)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e30])
def test_bad_numbers_do_no_harm(bad: float) -> None:
    """NaN, infinite and absurd surfels are left out; the others are drawn as if these were not there."""
    drawing = scenes.cast(scenes.mixed(11, count=60), torch.float32)
    s = drawing.surfels
    mean, tangents = s.mean.clone(), s.tangents.clone()
    mean[0, 0] = bad
    tangents[0, 1] = bad
    opacity = s.opacity.clone()
    opacity[:2] = 0.0
    mended = WorldSurfels(s.mean, s.tangents, s.normal, opacity)
    broken = WorldSurfels(mean, tangents, s.normal, s.opacity)
    rest = (drawing.colour, drawing.cameras, drawing.pose_of_view, drawing.background)
    torch.testing.assert_close(Cpu()(broken, *rest).rgb, Cpu()(mended, *rest).rgb)


def test_large_scene() -> None:
    """200k surfels at 802 by 550, forward and backward, with memory of the order of its data."""
    from benchmarks.head_scene import head_scene

    drawing = Drawing(*head_scene(200_000, 1, 802, 550, device="cpu"))
    output, found = gradients(Cpu(), drawing)
    assert float(output.alpha.detach().mean()) > 0.3
    assert all(bool(torch.isfinite(g).all()) for g in found.values())


def test_out_of_memory_is_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels' status becomes an error that says what was drawn."""

    class Failing:
        def __getattr__(self, name: str) -> object:
            return lambda *_: 1

    drawing = scenes.mixed(12, count=3)
    monkeypatch.setattr(kernels.cpu, "library", Failing)
    monkeypatch.setattr(kernels.cpu, "instruction_set", lambda: 0)
    with pytest.raises(SurfheadError, match=r"ran out of memory drawing 3 surfels at 83x61"):
        drawing.draw(Cpu())


def test_off_centre_principal_point_shifts_the_picture() -> None:
    """Moving the principal point by whole pixels moves the picture by as many."""
    drawing = scenes.mixed(13, count=200)
    moved = drawing.cameras.intrinsics.clone()
    moved[:, 0, 2] += 7.0
    cameras = Cameras(drawing.cameras.camera_from_world, moved, drawing.cameras.height, drawing.cameras.width)
    shifted = Drawing(drawing.surfels, drawing.colour, cameras, drawing.pose_of_view, drawing.background)
    torch.testing.assert_close(
        shifted.draw(Cpu()).rgb[:, :, 7:], drawing.draw(Cpu()).rgb[:, :, :-7], rtol=0, atol=1e-9
    )

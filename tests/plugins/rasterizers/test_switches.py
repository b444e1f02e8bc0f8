"""Each switch of docs/method.md, section 5, from both of its sides, for the reference and the CPU kernels."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from surfhead import kernels
from surfhead.core.api import Cameras, Rasterizer, RenderOutput, WorldSurfels
from surfhead.plugins.rasterizers.cpu import Cpu
from surfhead.plugins.rasterizers.reference import Torch

needs_kernels = pytest.mark.skipif(
    kernels.unavailable("cpu") is not None, reason="the CPU kernels are not built"
)


@pytest.fixture(params=[pytest.param(Torch, id="torch"), pytest.param(Cpu, id="cpu", marks=needs_kernels)])
def rasterizer(request: pytest.FixtureRequest) -> Rasterizer:
    """Each rasterizer that draws on the CPU."""
    made: Rasterizer = request.param()
    return made


def discs(
    depth: list[float], opacity: list[float], tangents: Tensor | None = None, offset: float = 0.0
) -> dict[str, Tensor]:
    """Large discs on the optical axis facing the camera; grey levels 1, 2, 3 ... tell them apart."""
    count = len(depth)
    mean = torch.tensor([[[offset, 0.0, z] for z in depth]], dtype=torch.float64)
    facing = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], dtype=torch.float64)
    made = facing.expand(1, count, 3, 2) if tangents is None else tangents.expand(1, count, 3, 2)
    level = torch.arange(1.0, count + 1, dtype=torch.float64)[None, :, None].expand(1, count, 3)
    values = {
        "mean": mean,
        "tangents": made,
        "normal": torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64).expand(1, count, 3),
        "opacity": torch.tensor(opacity, dtype=torch.float64),
        "colour": level,
    }
    return {name: value.clone().requires_grad_() for name, value in values.items()}


def draw(rasterizer: Rasterizer, scene: dict[str, Tensor], near: float = 0.01) -> RenderOutput:
    """One view of 3 by 3 pixels, the axis through the middle pixel's centre, black background."""
    K = torch.tensor([[[2.0, 0, 1.5], [0, 2.0, 1.5], [0, 0, 1]]], dtype=torch.float64)
    camera = Cameras(torch.eye(4, dtype=torch.float64)[None], K, 3, 3, near)
    surfels = WorldSurfels(scene["mean"], scene["tangents"], scene["normal"], scene["opacity"])
    zero = torch.zeros(1, dtype=torch.int64)
    return rasterizer(surfels, scene["colour"], camera, zero, torch.zeros(1, 3, dtype=torch.float64))


def gradient(value: Tensor, scene: dict[str, Tensor]) -> dict[str, Tensor]:
    """Gradients of a pixel in every input, zeros where none flows."""
    found = torch.autograd.grad(value, list(scene.values()), allow_unused=True)
    return {
        name: torch.zeros_like(scene[name]) if g is None else g for name, g in zip(scene, found, strict=True)
    }


@pytest.mark.parametrize(("factor", "shown"), [(1 + 1e-9, True), (1 - 1e-9, False)])
def test_least_alpha(rasterizer: Rasterizer, factor: float, shown: bool) -> None:
    """A pair counts from alpha 1/255 on; below it there is no gradient either."""
    scene = discs([2.0], [factor / 255.0])
    drawn = draw(rasterizer, scene)
    assert (float(drawn.alpha.detach()[0, 1, 1]) > 0) == shown
    if shown:
        assert float(gradient(drawn.alpha[0, 1, 1], scene)["opacity"]) == pytest.approx(1.0)
    else:
        assert not bool(drawn.visible.any())
        assert float(gradient(drawn.alpha[0, 1, 1], scene)["opacity"].abs()) == 0.0


@pytest.mark.parametrize(("opacity", "capped"), [(0.99 - 1e-9, False), (0.99 + 1e-9, True), (1.0, True)])
def test_alpha_cap(rasterizer: Rasterizer, opacity: float, capped: bool) -> None:
    """Alpha ends at 0.99, and there neither opacity nor the footprint gets a gradient; colour does."""
    scene = discs([2.0], [opacity], offset=0.0)
    drawn = draw(rasterizer, scene)
    assert float(drawn.alpha.detach()[0, 1, 1]) == pytest.approx(min(opacity, 0.99), abs=1e-12)
    found = gradient(drawn.rgb[0, 1, 1].sum(), scene)
    assert float(found["opacity"]) == pytest.approx(0.0 if capped else 3.0, abs=1e-9)
    assert float(found["colour"].sum()) == pytest.approx(3 * min(opacity, 0.99))
    if capped:
        assert float(found["tangents"].abs().max()) == 0.0


def test_stops_before_the_least_transmittance(rasterizer: Rasterizer) -> None:
    """T goes 1, 0.02, 4e-4; the third surfel would take it to 8e-6 and is left out, and so is the fourth."""
    scene = discs([1.0, 2.0, 3.0, 4.0], [0.98, 0.98, 0.98, 0.3])
    drawn = draw(rasterizer, scene)
    assert float(drawn.alpha.detach()[0, 1, 1]) == pytest.approx(1 - 4e-4, abs=1e-12)
    found = gradient(drawn.rgb[0, 1, 1].sum(), scene)
    assert found["colour"][0, :, 0].tolist() == pytest.approx([0.98, 0.02 * 0.98, 0.0, 0.0], abs=1e-12)
    assert found["opacity"][2:].tolist() == [0.0, 0.0]


def test_a_surfel_that_just_fits_does_not_stop(rasterizer: Rasterizer) -> None:
    """T may reach the least value but not fall under it."""
    alone = 1.0 - 1.0001e-4 / (0.02 * 0.02)  # takes T from 4e-4 to just above 1e-4
    fits = draw(rasterizer, discs([1.0, 2.0, 3.0], [0.98, 0.98, alone]))
    stops = draw(rasterizer, discs([1.0, 2.0, 3.0], [0.98, 0.98, alone + 1e-3]))
    assert float(fits.alpha.detach()[0, 1, 1]) == pytest.approx(1 - 1.0001e-4, abs=1e-12)
    assert float(stops.alpha.detach()[0, 1, 1]) == pytest.approx(1 - 4e-4, abs=1e-12)


@pytest.mark.parametrize(("first", "median"), [(0.5 - 1e-9, 2.0), (0.5 + 1e-9, 1.0)])
def test_median_depth(rasterizer: Rasterizer, first: float, median: float) -> None:
    """The last surfel met while T > 0.5; its depth gets the gradient."""
    scene = discs([1.0, 2.0, 3.0], [first, 0.4, 0.4])
    drawn = draw(rasterizer, scene)
    assert float(drawn.median_depth.detach()[0, 1, 1]) == pytest.approx(median)
    found = gradient(drawn.median_depth[0, 1, 1], scene)["mean"][0, :, 2]
    expected = [0.0, 0.0, 0.0]
    expected[int(median) - 1] = 1.0
    assert found.tolist() == pytest.approx(expected)


def test_screen_space_floor(rasterizer: Rasterizer) -> None:
    """An edge-on surfel shows through rho2: the mean's depth, and no gradient to the tangents."""
    edge_on = torch.tensor([[0.0, 0.0], [1e-3, 0.0], [0.0, 1e-3]], dtype=torch.float64)
    scene = discs([2.0], [0.9], edge_on, offset=0.3)
    drawn = draw(rasterizer, scene)
    # The mean lands 0.3 pixels right of the middle pixel's centre: rho2 = 2 * 0.3^2.
    assert float(drawn.alpha.detach()[0, 1, 1]) == pytest.approx(
        0.9 * torch.tensor(-0.09).exp().item(), rel=1e-6
    )
    assert float(drawn.depth.detach()[0, 1, 1]) == pytest.approx(2.0)
    found = gradient(drawn.alpha[0, 1, 1], scene)
    assert float(found["tangents"].abs().max()) == 0.0
    assert float(found["mean"][0, 0, 0]) != 0.0


def test_a_surfel_seen_exactly_edge_on_has_finite_gradients(rasterizer: Rasterizer) -> None:
    """The plane holds the camera's centre: c.z = 0 at every pixel of a row, and rho3 is infinite."""
    edge_on = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    scene = discs([2.0], [0.9], edge_on)
    drawn = draw(rasterizer, scene)
    assert float(drawn.alpha.detach()[0, 1, 1]) == pytest.approx(0.9)
    total = sum(getattr(drawn, n).sum() for n in ("rgb", "normal", "depth", "median_depth", "distortion"))
    assert isinstance(total, Tensor)
    assert all(bool(torch.isfinite(g).all()) for g in gradient(total, scene).values())


def test_equal_depths_keep_the_order_of_indices(rasterizer: Rasterizer) -> None:
    """The lower index is in front; and otherwise depth decides."""
    equal = draw(rasterizer, discs([2.0, 2.0], [0.5, 0.5])).rgb.detach()[0, 1, 1, 0]
    assert float(equal) == pytest.approx(0.5 * 1 + 0.25 * 2)
    second_first = draw(rasterizer, discs([2.0, 2.0 - 1e-9], [0.5, 0.5])).rgb.detach()[0, 1, 1, 0]
    assert float(second_first) == pytest.approx(0.5 * 2 + 0.25 * 1)


@pytest.mark.parametrize(("depth", "shown"), [(0.5 + 1e-9, True), (0.5, False), (-1.0, False)])
def test_near_plane_culls_surfels(rasterizer: Rasterizer, depth: float, shown: bool) -> None:
    """A surfel whose centre is at most `near` in front of the camera is culled."""
    drawn = draw(rasterizer, discs([depth], [0.9]), near=0.5)
    assert bool(drawn.visible[0, 0]) == shown
    assert (float(drawn.alpha.detach()[0, 1, 1]) > 0) == shown
    assert (float(drawn.radius[0, 0]) > 0) == shown


def test_near_plane_skips_pairs(rasterizer: Rasterizer) -> None:
    """A slanted surfel shows only where it is hit beyond `near`."""
    slanted = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    drawn = draw(rasterizer, discs([0.6], [0.9], slanted), near=0.5)
    # On the plane x + z = 0.6 the ray (x, 0, 1) is hit at 0.6 / (1 + x): 1.2, 0.6 and 0.4 metres.
    shown = drawn.alpha.detach()[0, 1] > 0
    assert shown.tolist() == [True, True, False]
    assert float(drawn.median_depth.detach()[0, 1, 0]) == pytest.approx(1.2)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_normals_face_the_camera(rasterizer: Rasterizer, sign: float) -> None:
    """The drawn normal is the same whichever way the surfel's points, and its gradient has that sign."""
    scene = discs([2.0], [0.5])
    scene["normal"] = (sign * torch.tensor([[[0.6, 0.0, -0.8]]], dtype=torch.float64)).requires_grad_()
    drawn = draw(rasterizer, scene)
    assert drawn.normal.detach()[0, 1, 1].tolist() == pytest.approx([0.3, 0.0, -0.4])
    assert float(gradient(drawn.normal[0, 1, 1, 0], scene)["normal"][0, 0, 0]) == pytest.approx(0.5 * sign)


def test_unbounded_footprints_cover_the_screen(rasterizer: Rasterizer) -> None:
    """A surfel that reaches the camera's plane has the whole screen as its rectangle."""
    slanted = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    scene = discs([2.0], [0.9], slanted, offset=50.0)
    drawn = draw(rasterizer, scene)
    assert bool(drawn.visible[0, 0])
    assert float(drawn.radius[0, 0]) == pytest.approx(1.5)

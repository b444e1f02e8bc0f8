"""The reference rasterizer against an independent one, and its gradients against finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from surfhead.core.api import OptionError, WorldSurfels
from surfhead.plugins.rasterizers.reference import Torch
from tests.gpu.scenes import IMAGES, Drawing
from tests.gradients import check_gradients
from tests.plugins.rasterizers import oracle, scenes

MARGIN = 1e-5  # least distance of every pair from every switch, docs/method.md, section 5

# (seed, surfels, views, poses, side of the picture): checked by the margin below
SMALL = [(0, 5, 1, 1, 4), (25, 4, 2, 2, 3), (45, 4, 3, 1, 2), (72, 9, 1, 1, 3)]


def margin(drawing: Drawing) -> float:
    """Distance of the scene from its nearest switch, over all views."""
    return min(oracle.draw(drawing, view)[1] for view in range(len(drawing.cameras)))


@pytest.mark.parametrize("settings", SMALL)
def test_equals_an_independent_rasterizer(settings: tuple[int, ...]) -> None:
    """Every output, to rounding."""
    drawing = scenes.few(*settings)
    drawn = drawing.draw(Torch())
    for view in range(len(drawing.cameras)):
        expected, _ = oracle.draw(drawing, view)
        for name in oracle.NAMES:
            np.testing.assert_allclose(getattr(drawn, name)[view].numpy(), expected[name], atol=1e-12)


def test_equals_the_independent_rasterizer_on_all_kinds_of_surfels() -> None:
    """Grazing, edge-on, tiny, huge, hidden and stacked surfels, over several tiles."""
    drawing = scenes.mixed(3, count=48, height=21, width=19)
    drawn = drawing.draw(Torch())
    expected, _ = oracle.draw(drawing, 0)
    for name in oracle.NAMES:
        np.testing.assert_allclose(getattr(drawn, name)[0].numpy(), expected[name], atol=1e-9)


@pytest.mark.parametrize("settings", SMALL)
def test_gradients(settings: tuple[int, ...]) -> None:
    """Every output in every input, on scenes that lie away from every switch."""
    drawing = scenes.few(*settings)
    assert margin(drawing) >= MARGIN
    s = drawing.surfels
    inputs = (s.mean, s.tangents, s.normal, s.opacity, drawing.colour, drawing.background)

    def draw(*tensors: Tensor) -> tuple[Tensor, ...]:
        *surfels, colour, background = tensors
        drawn = Torch()(WorldSurfels(*surfels), colour, drawing.cameras, drawing.pose_of_view, background)
        return tuple(getattr(drawn, name) for name in IMAGES)

    leaves = [t.clone().requires_grad_() for t in inputs]
    check_gradients(draw, leaves, atol=1e-6, rtol=1e-4)
    if settings == SMALL[-1]:  # the cheapest: also every output alone, and outputs without a gradient
        assert torch.autograd.gradcheck(draw, leaves, eps=1e-6, atol=1e-6, rtol=1e-4)


def test_the_tile_does_not_matter() -> None:
    """Pictures and gradients are those of any tile, also of tiles that the picture is no multiple of."""
    drawing = scenes.mixed(4, count=60, height=23, width=37)
    whole = drawing.draw(Torch(Torch.Options(tile=64)))
    cut = drawing.draw(Torch(Torch.Options(tile=5)))
    for name in IMAGES:
        torch.testing.assert_close(getattr(whole, name), getattr(cut, name), rtol=0, atol=1e-12)


@pytest.mark.parametrize("channels", [1, 5])
def test_any_number_of_channels(channels: int) -> None:
    """Each channel is drawn as if it were alone."""
    drawing = scenes.few(1, views=2)
    g = torch.Generator().manual_seed(0)
    colour = torch.rand(2, 5, channels, generator=g, dtype=torch.float64)
    background = torch.rand(2, channels, generator=g, dtype=torch.float64)
    args = (drawing.surfels, colour, drawing.cameras, drawing.pose_of_view, background)
    together = Torch()(*args).rgb
    assert together.shape[-1] == channels
    alone = [
        Torch()(args[0], colour[..., c : c + 1], *args[2:4], background[..., c : c + 1]).rgb
        for c in range(channels)
    ]
    torch.testing.assert_close(together, torch.cat(alone, dim=-1))


def test_large_tiles_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tile with more pairs than fit at once is drawn in runs of pixels, with the same result."""
    from surfhead.plugins.rasterizers import reference

    drawing = scenes.few(2)
    whole = drawing.draw(Torch())
    monkeypatch.setattr(reference, "PAIRS_AT_ONCE", 7)
    for name in IMAGES:
        torch.testing.assert_close(getattr(drawing.draw(Torch()), name), getattr(whole, name))


def test_float32_stays_close_on_thin_shells() -> None:
    """The distortion of a thin shell is a small difference of large numbers; float32 keeps its digits."""
    drawing = scenes.mixed(5, count=120)
    exact, single = drawing.draw(Torch()), scenes.cast(drawing, torch.float32).draw(Torch())
    error = (exact.distortion - single.distortion.double()).abs()
    span = float(exact.distortion.max())
    assert float((error > 1e-4 * span).double().mean()) <= 1e-3


def test_options() -> None:
    """A tile outside its range is refused."""
    with pytest.raises(OptionError, match='"tile"'):
        Torch(Torch.Options(tile=0))


def test_disc_is_the_analytic_one() -> None:
    """A disc facing the camera: alpha is the Gaussian of the distance, depth and normal are its own."""
    from surfhead.core.api import Cameras

    K = torch.tensor([[[100.0, 0, 10.5], [0, 100.0, 10.5], [0, 0, 1]]], dtype=torch.float64)
    camera = Cameras(torch.eye(4, dtype=torch.float64)[None], K, 21, 21)
    mean = torch.tensor([[[0.0, 0.0, 2.0]]], dtype=torch.float64)
    tangents = torch.tensor([[[[0.06, 0.0], [0.0, 0.06], [0.0, 0.0]]]], dtype=torch.float64)
    normal = torch.tensor([[[0.0, 0.0, 1.0]]], dtype=torch.float64)
    surfels = WorldSurfels(mean, tangents, normal, torch.tensor([0.8], dtype=torch.float64))
    white = torch.ones(1, 1, 3, dtype=torch.float64)
    drawn = Torch()(surfels, white, camera, torch.zeros(1, dtype=torch.int64), torch.zeros(1, 3).double())
    sigma = 3.0  # pixels: 100 * 0.06 / 2
    for column in (10, 13, 17):
        assert float(drawn.alpha[0, 10, column]) == pytest.approx(
            0.8 * math.exp(-0.5 * ((column - 10) / sigma) ** 2), rel=1e-12
        )
    assert float(drawn.depth[0, 10, 10]) == pytest.approx(2.0)
    torch.testing.assert_close(drawn.normal[0, 10, 10], torch.tensor([0.0, 0.0, -0.8], dtype=torch.float64))
    reach = math.sqrt(2.0 * math.log(255.0 * 0.8))
    assert float(drawn.radius[0, 0]) == pytest.approx(sigma * reach)
    assert bool(drawn.visible[0, 0])

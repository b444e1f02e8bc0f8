"""Lobe axes and their responses."""

from __future__ import annotations

import math

import pytest
import torch

from surfhead.kernels.ops.lobes import lobe_inputs, responses
from surfhead.plugins.appearances.lobes import FEATURES, LobeNetwork, lobe_axes

GRIDS = [(4, 8, False), (2, 8, True)]


@pytest.mark.parametrize(("rows", "columns", "hemisphere"), GRIDS)
def test_axes_are_distinct_and_frames_right_handed(rows: int, columns: int, hemisphere: bool) -> None:
    lobes = lobe_axes(rows, columns, hemisphere).double()
    assert lobes.shape == (rows * columns, 3, 3)
    identity = torch.eye(3, dtype=torch.float64).expand_as(lobes)
    torch.testing.assert_close(lobes @ lobes.mT, identity, rtol=0, atol=1e-6)
    handed = torch.linalg.cross(lobes[:, 1], lobes[:, 2])
    torch.testing.assert_close(handed, lobes[:, 0], rtol=0, atol=1e-6)
    cosines = lobes[:, 0] @ lobes[:, 0].mT - 2 * torch.eye(len(lobes))
    closest = math.degrees(math.acos(float(cosines.max())))
    assert closest > 28
    if not hemisphere:
        assert closest == pytest.approx(29, abs=0.5)


def test_the_published_grid_has_end_points() -> None:
    # Spec-Gaussian and SurFhead: half of the axes on the poles, first and last column alike
    for rows, hemisphere, heights in ((4, False, [1, 0.5, -0.5, -1]), (2, True, [1, 0])):
        lobes = lobe_axes(rows, 8, hemisphere, grid="published").reshape(rows, 8, 3, 3)
        expected = torch.tensor(heights, dtype=torch.float32)[:, None].expand(rows, 8)
        torch.testing.assert_close(lobes[:, :, 0, 2], expected, rtol=0, atol=1e-6)
        torch.testing.assert_close(lobes[:, 0], lobes[:, 7], rtol=0, atol=1e-6)
        torch.testing.assert_close(lobes @ lobes.mT, torch.eye(3).expand_as(lobes), rtol=0, atol=1e-6)
        turned = math.tau / 7  # from a column to the next, on the pole too
        torch.testing.assert_close(lobes[0, 1, 2], torch.tensor([-math.sin(turned), math.cos(turned), 0]))


def test_bands_of_equal_area() -> None:
    heights = lobe_axes(4, 8)[:, 0, 2].reshape(4, 8)
    torch.testing.assert_close(heights, torch.tensor([0.75, 0.25, -0.25, -0.75])[:, None].expand(4, 8))
    heights = lobe_axes(2, 8, hemisphere=True)[:, 0, 2].reshape(2, 8)
    torch.testing.assert_close(heights, torch.tensor([0.75, 0.25])[:, None].expand(2, 8))


@pytest.mark.parametrize("front", [(0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, -0.6, 0.8), (0.0, 0.0, -1.0)])
def test_half_sphere_lies_about_the_front(front: tuple[float, float, float]) -> None:
    axes = lobe_axes(2, 8, hemisphere=True, front=front)[:, 0]
    cosines = axes @ torch.tensor(front)
    torch.testing.assert_close(cosines, torch.tensor([0.75] * 8 + [0.25] * 8))
    torch.testing.assert_close(axes.mean(dim=0), 0.5 * torch.tensor(front))


@pytest.mark.parametrize("anisotropic", [False, True])
def test_responses_by_hand(anisotropic: bool) -> None:
    network = LobeNetwork(lobe_axes(4, 8), anisotropic, 3).double()
    features = torch.randn(2, FEATURES, dtype=torch.float64)
    reflected = torch.nn.functional.normalize(torch.randn(3, 2, 3, dtype=torch.float64), dim=-1)
    raw = network.lobes(features)
    found = responses(raw, network.axes, reflected, anisotropic)
    for lobe, (axis, x, y) in enumerate(network.axes):
        amplitude = raw[:, 2 * lobe : 2 * lobe + 2]
        first = torch.log1p(torch.exp(raw[:, 64 + lobe] - 1))
        if anisotropic:
            second = torch.log1p(torch.exp(raw[:, 96 + lobe] - 1))
            falloff = torch.exp(-first * (reflected @ x) ** 2 - second * (reflected @ y) ** 2)
            value = (reflected @ axis).clamp(min=0) * falloff
        else:
            value = torch.exp(first * (reflected @ axis - 1))
        torch.testing.assert_close(found[:, :, lobe], amplitude * value[..., None])


def test_a_mirror_sees_the_reflected_direction() -> None:
    # light seen off a mirror at 45 degrees comes from the side: the lobe there answers alone
    axes = torch.eye(3, dtype=torch.float64)[torch.tensor([[0, 1, 2], [1, 2, 0]])]
    raw = torch.tensor([[1.0, 2.0, 1.0, 2.0, 60.0, 60.0]], dtype=torch.float64)
    half = math.sqrt(0.5)
    direction = torch.tensor([[[0.0, 0.0, -1.0]]], dtype=torch.float64)
    normal = torch.tensor([[[half, 0.0, half]]], dtype=torch.float64)
    seen = lobe_inputs(raw, axes, direction, normal, False)[0, 0]
    torch.testing.assert_close(seen[:4], torch.tensor([1.0, 2.0, 0.0, 0.0], dtype=torch.float64))
    torch.testing.assert_close(seen[4:8], torch.tensor([half, 0.0, 0.0, -1.0], dtype=torch.float64))

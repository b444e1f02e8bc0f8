"""Edge-aware smoothness of the inverse depth against hand values."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from surfhead.core.errors import OptionError
from surfhead.core.types import Step
from surfhead.plugins.regularizers.depth_smoothness import DepthSmoothness
from surfhead.testing import steps


def step_with(inverse: torch.Tensor, truth: torch.Tensor) -> Step:
    """One view whose expected depth is 1/inverse (0 = nothing drawn)."""
    step = steps.random_step()
    depth = torch.where(inverse > 0, 1 / inverse.clamp_min(1e-9), 0.0).requires_grad_()
    return replace(
        step,
        batch=replace(step.batch, image=truth),
        output=replace(step.output, depth=depth, median_depth=torch.ones_like(depth)),
    )


def test_it_is_the_mean_relative_slope_weakened_by_edges_of_the_truth() -> None:
    inverse = torch.ones(1, 4, 6)
    inverse[:, :, 3:] = 3.0  # one step across; the mean is 2
    grey = torch.full((1, 4, 6, 3), 51, dtype=torch.uint8)
    assert DepthSmoothness()(step_with(inverse, grey)).item() == pytest.approx(1.0 / 5, rel=1e-5)
    edge = grey.clone()
    edge[:, :, 3:] = 153  # the truth has an edge of 0.4 at the same place
    assert DepthSmoothness()(step_with(inverse, edge)).item() == pytest.approx(math.exp(-0.4) / 5, rel=1e-5)


def test_it_does_not_depend_on_the_unit_of_length() -> None:
    inverse = 1.0 + torch.rand(1, 5, 5, generator=torch.Generator().manual_seed(1))
    grey = torch.zeros(1, 5, 5, 3, dtype=torch.uint8)
    near = DepthSmoothness()(step_with(inverse, grey)).item()
    assert DepthSmoothness()(step_with(0.01 * inverse, grey)).item() == pytest.approx(near, rel=1e-4)


def test_a_flat_surface_before_an_empty_background_is_smooth() -> None:
    inverse = torch.zeros(1, 6, 6)
    inverse[:, 2:5, 2:5] = 2.0
    step = step_with(inverse, torch.zeros(1, 6, 6, 3, dtype=torch.uint8))
    value = DepthSmoothness()(step)
    value.backward()
    assert value.item() == pytest.approx(0.0, abs=1e-6)
    assert step.output.depth.grad is not None
    assert bool(torch.isfinite(step.output.depth.grad).all())


def test_the_depth_ratio_chooses_the_depth() -> None:
    inverse = torch.ones(1, 4, 6)
    inverse[:, :, 3:] = 3.0
    step = step_with(inverse, torch.zeros(1, 4, 6, 3, dtype=torch.uint8))
    assert DepthSmoothness(DepthSmoothness.Options(depth_ratio=1.0))(step).item() == 0.0
    with pytest.raises(OptionError, match="depth_ratio"):
        DepthSmoothness(DepthSmoothness.Options(depth_ratio=2.0))

"""Opaque eyeballs against a hand value."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from surfhead.core.errors import UnknownNameError
from surfhead.core.types import Step
from surfhead.plugins.regularizers.eye_opacity import EyeOpacity
from surfhead.testing import steps


def step_with(opacity: torch.Tensor, regions: dict[str, list[int]]) -> Step:
    step = steps.random_step(count=len(opacity))
    indices = {name: torch.tensor(rows, dtype=torch.int64) for name, rows in regions.items()}
    return replace(
        step,
        surfels=replace(step.surfels, opacity=opacity),
        binding=replace(step.binding, regions=indices),
    )


def test_it_is_the_mean_squared_transparency_of_the_region() -> None:
    opacity = torch.tensor([0.5, 0.9, 0.1, 0.2], requires_grad=True)
    step = step_with(opacity, {"eyeballs": [0, 2], "teeth": [3]})
    value = EyeOpacity()(step)
    assert value.item() == pytest.approx((0.5**2 + 0.9**2) / 2)
    value.backward()
    torch.testing.assert_close(opacity.grad, torch.tensor([-0.5, 0.0, -0.9, 0.0]))
    assert EyeOpacity(EyeOpacity.Options(region="teeth"))(step).item() == pytest.approx(0.64)


def test_an_empty_region_and_a_rig_without_regions_give_zero() -> None:
    opacity = torch.tensor([0.5], requires_grad=True)
    for regions in ({"eyeballs": []}, {}):
        value = EyeOpacity()(step_with(opacity, regions))
        value.backward()
        assert value.item() == 0.0
    torch.testing.assert_close(opacity.grad, torch.zeros(1))


def test_an_unknown_region_is_refused_by_name() -> None:
    with pytest.raises(UnknownNameError, match='region "eyebals".*Did you mean "eyeballs"'):
        EyeOpacity(EyeOpacity.Options(region="eyebals"))(step_with(torch.ones(1), {"eyeballs": [0]}))

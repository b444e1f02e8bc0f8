"""Agreement with predicted normals against hand values."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from surfhead.core.types import Step
from surfhead.plugins.regularizers.normal_prior import NormalPrior
from surfhead.testing import steps

PIXELS = steps.HEIGHT * steps.WIDTH


def given(normal: tuple[float, float, float], columns: int) -> Step:
    """A plane that faces the camera, and a prediction in the first columns."""
    step = steps.perfect_step()
    prior = torch.zeros(2, steps.HEIGHT, steps.WIDTH, 3, dtype=torch.uint8)
    prior[:, :, :columns] = (128 + 127 * torch.tensor(normal)).round().to(torch.uint8)
    alpha = torch.ones_like(step.output.alpha)
    normals = torch.zeros_like(step.output.normal)
    normals[..., 2] = -1.0
    output = replace(step.output, normal=normals.requires_grad_(), alpha=alpha)
    return replace(step, output=output, batch=replace(step.batch, mask=None, normal_prior=prior))


def test_without_predictions_it_is_nothing() -> None:
    step = steps.random_step()
    assert NormalPrior()(step).item() > 0.01
    step = replace(step, batch=replace(step.batch, normal_prior=None))
    assert NormalPrior()(step).item() == 0.0


def test_it_is_the_mean_of_one_minus_the_cosine_where_something_was_predicted() -> None:
    assert NormalPrior()(given((0.0, 0.0, -1.0), 5)).item() == pytest.approx(0.0, abs=1e-6)
    turned = NormalPrior()(given((0.0, 0.6, -0.8), 5)).item()
    assert turned == pytest.approx(0.2 * 5 / steps.WIDTH, rel=0.01)


def test_the_mask_limits_it() -> None:
    step = given((0.0, 0.6, -0.8), 6)
    mask = torch.zeros(2, steps.HEIGHT, steps.WIDTH, dtype=torch.uint8)
    mask[:, :, 4:] = 255
    step = replace(step, batch=replace(step.batch, mask=mask))
    assert NormalPrior()(step).item() == pytest.approx(0.2 * 2 / steps.WIDTH, rel=0.01)


def test_normals_turn_towards_the_prediction() -> None:
    step = given((0.0, 0.6, -0.8), steps.WIDTH)
    NormalPrior()(step).backward()
    gradient = step.output.normal.grad
    assert gradient is not None
    torch.testing.assert_close(
        -gradient[0, 3, 3] * 2 * PIXELS, torch.tensor([0.0, 0.6, -0.8]), rtol=0.02, atol=0.01
    )

"""The limit on neighbours' weights against a hand value."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from surfhead.core.errors import OptionError
from surfhead.core.types import Step
from surfhead.plugins.regularizers.blend_weight import BlendWeight
from surfhead.testing import steps


def step_with(weights: list[list[float]], visible: list[bool]) -> Step:
    step = steps.random_step(count=len(weights))
    logits = torch.logit(torch.tensor(weights) / 2).requires_grad_()  # halves: sigmoids below one
    seen = torch.tensor(visible).expand(2, -1)
    return replace(
        step,
        binding=replace(step.binding, parameters={**step.binding.parameters, "blend": logits}),
        output=replace(step.output, visible=seen),
    )


def test_it_is_the_mean_excess_of_the_neighbours_of_the_visible() -> None:
    weights = [[0.4, 0.3, 0.2, 0.1], [0.85, 0.05, 0.05, 0.05], [0.1, 0.3, 0.3, 0.3]]
    step = step_with(weights, [True, True, False])
    assert BlendWeight()(step).item() == pytest.approx((0.2 + 0.1) / 2, abs=1e-6)
    assert BlendWeight(BlendWeight.Options(limit=0.25))(step).item() == pytest.approx(0.05 / 2, abs=1e-6)


def test_it_pulls_the_neighbours_down_and_the_host_up() -> None:
    step = step_with([[0.4, 0.3, 0.2, 0.1]], [True])
    BlendWeight()(step).backward()
    gradient = step.binding.parameters["blend"].grad
    assert gradient is not None
    assert gradient[0, 1] > 0
    assert gradient[0, 0] < 0


def test_deformers_without_blending_give_zero() -> None:
    step = step_with([[0.1, 0.3, 0.3, 0.3]], [True])
    parameters = {k: v for k, v in step.binding.parameters.items() if k != "blend"}
    value = BlendWeight()(replace(step, binding=replace(step.binding, parameters=parameters)))
    assert value.item() == 0.0


def test_a_limit_out_of_range_is_refused() -> None:
    with pytest.raises(OptionError, match="limit"):
        BlendWeight(BlendWeight.Options(limit=1.5))

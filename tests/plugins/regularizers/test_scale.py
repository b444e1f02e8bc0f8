"""The size limit against a hand value."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from surfhead.core.errors import OptionError
from surfhead.core.types import Step
from surfhead.plugins.regularizers.scale import Scale
from surfhead.testing import steps


def step_with(scales: list[list[float]], visible: list[bool], triangle: int = 0) -> Step:
    step = steps.random_step(count=len(scales))
    logarithms = torch.tensor(scales).log().requires_grad_()
    binding = replace(
        step.binding,
        parameters={**step.binding.parameters, "log_scale": logarithms},
        triangle=torch.full((len(scales),), triangle),
    )
    seen = torch.zeros(2, len(scales), dtype=torch.bool)
    seen[0] = torch.tensor(visible)
    return replace(step, binding=binding, output=replace(step.output, visible=seen))


def test_it_is_the_mean_norm_of_the_excesses_of_the_visible() -> None:
    step = step_with([[0.9, 1.0], [0.5, 0.7], [5.0, 5.0], [0.1, 0.2]], [True, True, False, True])
    value = Scale()(step)
    assert value.item() == pytest.approx((math.hypot(0.3, 0.4) + 0.1) / 3, rel=1e-5)
    value.backward()
    gradient = step.binding.parameters["log_scale"].grad
    assert gradient is not None
    expected = torch.tensor([[0.9 * 0.6, 1.0 * 0.8], [0.0, 0.7], [0.0, 0.0], [0.0, 0.0]]) / 3
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-6)


def test_the_limit_is_an_option() -> None:
    step = step_with([[2.0, 0.1]], [True])
    assert Scale(Scale.Options(limit=1.5))(step).item() == pytest.approx(0.5, rel=1e-5)
    with pytest.raises(OptionError, match="limit"):
        Scale(Scale.Options(limit=float("nan")))


def test_surfels_without_a_triangle_do_not_count() -> None:
    assert Scale()(step_with([[9.0, 9.0]], [True], triangle=-1)).item() == 0.0

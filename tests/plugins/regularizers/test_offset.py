"""The offset limit against a hand value."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from surfhead.core.errors import OptionError
from surfhead.core.types import Step
from surfhead.plugins.regularizers.offset import Offset
from surfhead.testing import steps


def step_with(offsets: list[list[float]], visible: list[bool], triangle: int = 0) -> Step:
    step = steps.random_step(count=len(offsets))
    parameters = {**step.binding.parameters, "offset": torch.tensor(offsets, requires_grad=True)}
    binding = replace(step.binding, parameters=parameters, triangle=torch.full((len(offsets),), triangle))
    seen = torch.zeros(2, len(offsets), dtype=torch.bool)
    seen[1] = torch.tensor(visible)
    return replace(step, binding=binding, output=replace(step.output, visible=seen))


def test_it_is_the_mean_excess_of_the_visible() -> None:
    offsets = [[3.0, 4.0, 0.0], [0.5, 0.0, 0.0], [9.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    step = step_with(offsets, [True, True, False, True])
    value = Offset()(step)
    assert value.item() == pytest.approx((5 - 1) / 3)
    value.backward()
    gradient = step.binding.parameters["offset"].grad
    assert gradient is not None
    torch.testing.assert_close(gradient, torch.tensor([[0.6, 0.8, 0.0], [0.0] * 3, [0.0] * 3, [0.0] * 3]) / 3)


def test_the_limit_is_an_option() -> None:
    step = step_with([[0.0, 3.0, 0.0]], [True])
    assert Offset(Offset.Options(limit=0.5))(step).item() == pytest.approx(2.5)
    with pytest.raises(OptionError, match="limit"):
        Offset(Offset.Options(limit=-1.0))


def test_surfels_without_a_triangle_do_not_count() -> None:
    assert Offset()(step_with([[9.0, 0.0, 0.0]], [True], triangle=-1)).item() == 0.0

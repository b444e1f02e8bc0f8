"""The mean absolute error against a hand value."""

from __future__ import annotations

import torch

from surfhead.plugins.regularizers.l1 import L1
from surfhead.testing import steps


def test_it_is_the_mean_absolute_error() -> None:
    step = steps.random_step()
    expected = sum(
        float((step.output.rgb[view].detach() - step.batch.image[view].double() / 255).abs().mean())
        for view in range(2)
    )
    torch.testing.assert_close(L1()(step).item(), expected / 2, rtol=0, atol=1e-6)


def test_its_gradient_is_a_sign_over_the_number_of_values() -> None:
    step = steps.random_step()
    L1()(step).backward()
    assert step.output.rgb.grad is not None
    sign = torch.sign(step.output.rgb.detach() - step.batch.target)
    torch.testing.assert_close(step.output.rgb.grad, sign / sign.numel())

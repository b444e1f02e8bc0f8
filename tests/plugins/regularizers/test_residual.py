"""The residual's size against a mean over directions."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from surfhead.maths import harmonics
from surfhead.plugins.regularizers.residual import Residual
from surfhead.testing import steps


def test_it_is_the_mean_square_over_the_sphere() -> None:
    step = steps.random_step()
    coefficients = step.binding.parameters["residual"].detach()
    random = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(40_000, 3, generator=random), dim=-1)
    seen = torch.einsum("dk,nkc->dnc", harmonics.basis(directions, 1)[:, 1:], coefficients)
    assert Residual()(step).item() == pytest.approx(seen.square().mean().item(), rel=0.02)


def test_where_there_is_none_it_is_zero() -> None:
    step = steps.random_step()
    plain = replace(step.binding, parameters={})
    assert Residual()(replace(step, binding=plain)).item() == 0.0


def test_another_parameter_can_be_named() -> None:
    step = steps.random_step()
    named = Residual(Residual.Options(parameter="offset"))
    assert named(step).item() == pytest.approx(
        step.binding.parameters["offset"].square().mean().item() / (4 * torch.pi), rel=1e-5
    )

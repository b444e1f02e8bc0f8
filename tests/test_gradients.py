"""The tests' own look at gradients finds a derivative that is wrong in one output and one input."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.gradients import check_gradients


class _Sines(torch.autograd.Function):
    """Sines and squares; the derivative of the second square is wrong by ``fault``."""

    fault = 0.0

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x)
        return x.sin(), x * x

    @staticmethod
    def backward(ctx: Any, g_sine: Tensor, g_square: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        found = g_sine * x.cos() + 2.0 * g_square * x
        found[1] += _Sines.fault * g_square[1]
        return found


@pytest.mark.parametrize("fault", [0.0, 0.01])
def test_one_wrong_derivative_is_found(fault: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Sines, "fault", fault)
    x = torch.tensor([0.3, -0.7, 1.1, 0.2], dtype=torch.float64, requires_grad=True)
    if not fault:
        check_gradients(_Sines.apply, [x])
        return
    with pytest.raises(AssertionError, match="Mismatched elements"):
        check_gradients(_Sines.apply, [x])

"""What goes over all numbers of the parameters natively, against PyTorch in double precision."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from surfhead.kernels import cpu_parameters, ops

pytestmark = pytest.mark.skipif(
    not cpu_parameters.serves(torch.zeros(1)), reason="the native library is not built, or older than these"
)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("goal", ["none", "one", "row", "each"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("width", [1, 45, 9000])
def test_weighted_squares(goal: str, weighted: bool, width: int) -> None:
    """The sum and its gradient; double precision is PyTorch's operations, single the kernel's."""
    rows = 700 if width < 100 else 3  # several jobs, the last not full
    towards = {
        "none": None,
        "one": draw(1, 1, seed=1),
        "row": draw(1, width, seed=1),
        "each": draw(rows, width, seed=1),
    }[goal]
    weight = torch.rand(rows, generator=torch.Generator().manual_seed(2)) if weighted else None
    found: dict[torch.dtype, tuple[Tensor, Tensor]] = {}
    for dtype in (torch.float32, torch.float64):
        value = draw(rows, width).to(dtype).requires_grad_()
        total = ops.weighted_squares(
            value,
            None if towards is None else towards.to(dtype),
            None if weight is None else weight.to(dtype),
        )
        found[dtype] = total.detach(), torch.autograd.grad(3.0 * total, value)[0]
    for single, double in zip(found[torch.float32], found[torch.float64], strict=True):
        torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=1e-5)


def test_any_number_of_threads_gives_the_same_sum() -> None:
    before, value, weight = torch.get_num_threads(), draw(5000, 7), draw(5000, seed=1).abs()
    found = []
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            found.append(float(cpu_parameters.squares(value, None, weight)))
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1] == found[2] > 0.0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_found(bad: float) -> None:
    """Also the last number of many, and nothing is fine."""
    broken = draw(20_000, 3)
    broken[-1, -1] = bad
    given = [draw(5), broken, None, torch.full((3,), 3e38), torch.empty(0, 4), torch.tensor(bad)]
    assert ops.finite(given, torch.device("cpu")).tolist() == [True, False, True, True, True, False]
    doubles = [None if tensor is None else tensor.double() for tensor in given]
    assert ops.finite(doubles, torch.device("cpu")).tolist() == [True, False, True, True, True, False]


@pytest.mark.parametrize("in_order", [True, False])
def test_adam_is_that_of_pytorch(in_order: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some steps at changing rates, a parameter that is left out for one of them; not in order: PyTorch's."""
    calls = []
    step_of = cpu_parameters.adam_step
    monkeypatch.setattr(cpu_parameters, "adam_step", lambda *a: (calls.append(1), step_of(*a))[1])
    other = draw(20, 3, seed=1)
    start = [draw(3000, 4), other if in_order else other.T, draw(1, seed=2)[0], draw(7, seed=3)]
    ours = [value.clone().requires_grad_() for value in start]
    exact = [value.double().clone().requires_grad_() for value in start]
    adam = ops.Adam([{"params": ours[:2]}, {"params": ours[2:]}], (0.9, 0.999), 1e-15)
    reference = torch.optim.Adam(
        [{"params": exact[:2]}, {"params": exact[2:]}], betas=(0.9, 0.999), eps=1e-15
    )
    for step in range(4):
        for rows in (adam.param_groups, reference.param_groups):
            rows[0]["lr"], rows[1]["lr"] = 0.01 / (1 + step), 0.002
        for i, (single, double) in enumerate(zip(ours, exact, strict=True)):
            gradient = torch.empty_like(
                single.detach()
            )  # in the memory order of the value, as autograd's are
            gradient.copy_(draw(*single.shape, seed=10 * step + i) * 10.0 ** (i - 3))
            if i == 0:  # some never move; some had a gradient once, and go on by their moments
                gradient[1000:2000] = 0.0
                gradient[2000:] *= float(step == 0)
            left_out = step == 1 and i == 3
            single.grad = None if left_out else gradient
            double.grad = None if left_out else gradient.double()
        adam.step()
        reference.step()
    assert bool(calls) == in_order
    assert torch.equal(ours[0][1000:2000], start[0][1000:2000])
    for single, double in zip(ours, exact, strict=True):
        torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=1e-6)
        assert float(adam.state[single]["step"]) == float(reference.state[double]["step"])

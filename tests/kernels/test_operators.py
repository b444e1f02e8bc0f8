"""Operators called straight on a CPU, without PyTorch's dispatcher, against the same through it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from surfhead.kernels import cpu_parameters
from surfhead.kernels.cuda_operators import operators

pytestmark = pytest.mark.skipif(
    not cpu_parameters.serves(torch.zeros(1)), reason="the native library is not built, or older than these"
)


def given() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    value, goal, weight = (torch.randn(5, 3, generator=generator) for _ in range(3))
    return value.requires_grad_(), goal, weight[:, 0]


def test_value_and_gradient_are_those_of_the_dispatcher() -> None:
    made = []
    for call in (operators.squares_cpu, torch.ops.surfhead.squares_cpu):
        value, goal, weight = given()
        total = call(value, goal, weight)
        (3.0 * total).backward()
        assert value.grad is not None
        made.append((total.detach(), value.grad))
    assert torch.equal(made[0][0], made[1][0])
    assert torch.equal(made[0][1], made[1][1])


def test_the_straight_way_is_taken_with_and_without_gradient() -> None:
    value, goal, weight = given()
    assert operators.squares_cpu(value, goal, weight).grad_fn.name() == "StraightBackward"
    with torch.no_grad():
        assert operators.squares_cpu(value, goal, weight).grad_fn is None
    assert operators.squares_cpu(value.detach(), goal, weight).grad_fn is None


def test_a_tracer_gets_the_operator() -> None:
    value, goal, weight = given()
    with FakeTensorMode(allow_non_fake_inputs=True):
        found = operators.squares_cpu(value, goal, weight)
    assert type(found) is not Tensor
    assert found.shape == ()


def test_a_gradient_of_the_gradient_is_refused() -> None:
    value, goal, weight = given()
    total = operators.squares_cpu(value, goal, weight)
    (first,) = torch.autograd.grad(total, value, create_graph=True)
    with pytest.raises(RuntimeError, match="does not require grad"):
        first.sum().backward()

"""The weighted sum of the terms: total, values and gradients."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor

from surfhead.core.components import Regularizer
from surfhead.core.types import Step
from surfhead.training.weighted_term import WeightedTerm, weighted_sum
from tests.kernels.emulation import close


class Given(Regularizer):
    """A term that gives what it was made of."""

    name = "given"
    summary = "What it was made of."

    def __init__(self, value: Tensor) -> None:
        self.value = value

    def __call__(self, step: Step) -> Tensor:
        return self.value


def terms_of(values: list[Tensor], weights: list[float], start: int = 0) -> list[WeightedTerm]:
    return [
        WeightedTerm(f"term{i}", Given(value), weight, start if i == 1 else 0, 0)
        for i, (value, weight) in enumerate(zip(values, weights, strict=True))
    ]


def step(images: int = 0) -> Step:
    return cast(Any, SimpleNamespace(images=images))


def test_total_values_and_gradients() -> None:
    """Bit for bit those of `weight * value`; a constant term counts and passes nothing."""
    leaf = torch.tensor([0.3, -1.7, 2.9], requires_grad=True)
    weights = [0.8, 100.0, 1e-4]
    found = weighted_sum(terms_of([leaf[0], leaf[1].square(), torch.tensor(5.0)], weights), step())
    plain = (leaf.detach()[0], leaf.detach()[1].square(), torch.tensor(5.0))
    for value, weight, alone in zip(found.values.values(), weights, plain, strict=True):
        assert torch.equal(value, weight * alone)
    assert not any(value.requires_grad for value in found.values.values())
    close(found.total.detach(), torch.stack(list(found.values.values())).sum(), "total")
    found.total.backward()  # type: ignore[no-untyped-call]
    wanted = torch.autograd.grad(0.8 * leaf[0] + 100.0 * leaf[1].square(), leaf)[0]
    assert torch.equal(torch.as_tensor(leaf.grad), wanted)


def test_numbers_of_two_kinds_add_up() -> None:
    """A stranger's term may be in double precision."""
    leaf = torch.tensor(2.0, requires_grad=True)
    found = weighted_sum(terms_of([leaf, leaf.double() ** 2], [1.0, 0.5]), step())
    assert float(found.total.detach()) == 4.0
    found.total.backward()  # type: ignore[no-untyped-call]
    assert torch.as_tensor(leaf.grad).item() == 3.0


def test_a_term_that_has_not_begun_is_left_out() -> None:
    values = [torch.tensor(1.0), torch.tensor(7.0)]
    assert list(weighted_sum(terms_of(values, [1.0, 1.0], start=10), step(5)).values) == ["term0"]
    assert float(weighted_sum(terms_of(values, [1.0, 1.0], start=10), step(10)).total) == 8.0

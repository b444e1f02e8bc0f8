"""Values and gradients of the operations with fewer launches, bit for bit those of the plain ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from surfhead.maths import launches

INDEX = torch.tensor([4, 0, 4, 2])
WIDE = torch.tensor([[4, 0, 4, 2], [1, 1, 1, 3]])
CASES: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor], tuple[int, ...]]] = {
    "rows": (
        lambda x: launches.index_select(x, 0, INDEX), lambda x: x.index_select(0, INDEX), (5, 3),
    ),
    "along the second axis": (
        lambda x: launches.index_select(x, 1, INDEX), lambda x: x.index_select(1, INDEX), (2, 5, 3),
    ),
    "gathered": (lambda x: launches.gather(x, 1, WIDE), lambda x: x.gather(1, WIDE), (2, 5)),
    "above zero": (launches.above_zero, lambda x: x.clamp_min(0.0), (4, 6)),
    "their mean": (launches.mean_above_zero, lambda x: x.clamp_min(0.0).mean(), (4, 6)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_as_the_plain_operation(name: str) -> None:
    ours, plain, shape = CASES[name]
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values.view(-1)[:3] = torch.tensor([0.0, -0.0, -1e-30])  # the gradient passes at 0, of either sign
    results = []
    for form in (ours, plain):
        leaf = values.clone().requires_grad_()
        found = form(leaf)
        upstream = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
        found.backward(upstream)
        assert leaf.grad is not None
        results.append((found.detach(), leaf.grad))
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)
    assert bool(results[0][1].any())

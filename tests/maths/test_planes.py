"""Arithmetic of many small vectors and matrices against PyTorch's own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from surfhead.maths import planes


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def test_entries_are_stored_plane_by_plane() -> None:
    vectors = random(2, 5, 3)
    x, y, z = planes.planes(vectors)
    packed = planes.from_planes(x, y, z)
    assert torch.equal(packed, vectors)
    assert packed.movedim(-1, 0).is_contiguous()
    matrices = random(2, 5, 3, 3)
    packed = planes.matrix_from_planes(*planes.planes(matrices.flatten(-2)))
    assert torch.equal(packed, matrices)
    assert packed.movedim((-2, -1), (0, 1)).is_contiguous()


def test_vector_products() -> None:
    a, b = random(2, 5, 3), random(3, 5, 3)[:2]
    first, second = planes.planes(a), planes.planes(b)
    torch.testing.assert_close(planes.dot(first, second), (a * b).sum(-1))
    torch.testing.assert_close(planes.from_planes(*planes.cross(first, second)), torch.linalg.cross(a, b))
    doubled = planes.from_planes(*planes.scaled(first, 2 * torch.ones(2, 5, dtype=torch.float64)))
    torch.testing.assert_close(doubled, 2 * a)


SHAPES = pytest.mark.parametrize(
    ("left", "right"), [((4,), (4,)), ((2, 4), (4,)), ((1, 4), (2, 1)), ((), (3,)), ((2, 0), (0,))]
)


@SHAPES
@pytest.mark.parametrize("transposed", [False, True])
def test_matrix_product(left: tuple[int, ...], right: tuple[int, ...], transposed: bool) -> None:
    a, b = random(*left, 3, 3).requires_grad_(), random(*right, 3, 3).requires_grad_()

    def product(a: Tensor, b: Tensor) -> Tensor:
        return planes.matrix_product(a.mT, b) if transposed else planes.matrix_product(a, b)

    torch.testing.assert_close(product(a, b), (a.mT if transposed else a) @ b)
    assert torch.autograd.gradcheck(product, (a, b))


@SHAPES
def test_quaternion_product(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    a, b = random(*left, 4).requires_grad_(), random(*right, 4).requires_grad_()
    product = planes.quaternion_product(a, b)
    real = a[..., 0] * b[..., 0] - (a[..., 1:] * b[..., 1:]).sum(-1)
    crossed = torch.linalg.cross(*torch.broadcast_tensors(a[..., 1:], b[..., 1:]))
    vector = a[..., :1] * b[..., 1:] + b[..., :1] * a[..., 1:] + crossed
    torch.testing.assert_close(product, torch.cat((real[..., None], vector), dim=-1))
    assert torch.autograd.gradcheck(planes.quaternion_product, (a, b))


def test_constants_cost_no_gradient() -> None:
    a, b = random(4, 3, 3).requires_grad_(), random(4, 3, 3)
    planes.matrix_product(a, b).sum().backward()
    assert a.grad is not None
    assert b.grad is None


@pytest.mark.parametrize("entries", [(), (3,), (3, 3)])
@pytest.mark.parametrize("packed", [False, True])
def test_take(entries: tuple[int, ...], packed: bool) -> None:
    values = random(2, 5, *entries)
    if packed:
        values = values.movedim((0, 1), (-2, -1)).contiguous().movedim((-2, -1), (0, 1))
    index = torch.tensor([4, 0, 0, 2, 4, 4])
    assert torch.equal(planes.take(values, index), values[:, index])
    assert torch.autograd.gradcheck(lambda v: planes.take(v, index), (values.requires_grad_(),))


@pytest.mark.parametrize("entries", [(), (3,), (3, 3)])
def test_weighted_take(entries: tuple[int, ...]) -> None:
    values, weights = random(2, 5, *entries).requires_grad_(), random(3, 4).requires_grad_()
    index = torch.tensor([[4, 0, 0, 2], [1, 1, 1, 1], [0, 1, 2, 3]])
    shaped = weights.reshape(3, 4, *(1 for _ in entries))
    expected = (values[:, index] * shaped).sum(dim=2)
    torch.testing.assert_close(planes.weighted_take(values, index, weights), expected)
    assert torch.autograd.gradcheck(lambda v, w: planes.weighted_take(v, index, w), (values, weights))


def test_nothing_to_take() -> None:
    values = random(2, 5, 3).requires_grad_()
    none = torch.zeros(0, dtype=torch.int64)
    assert planes.take(values, none).shape == (2, 0, 3)
    total = planes.weighted_take(values, none.reshape(0, 4), torch.zeros(0, 4, dtype=torch.float64))
    assert total.shape == (2, 0, 3)
    total.sum().backward()
    assert not values.grad.any()


@pytest.mark.parametrize("count", [0, 4])
def test_contract(count: int) -> None:
    values, features = random(3, count, 5).requires_grad_(), random(count, 5, 2).requires_grad_()
    expected = torch.einsum("bnk,nkc->bnc", values, features)
    torch.testing.assert_close(planes.contract(values, features), expected)
    assert torch.autograd.gradcheck(planes.contract, (values, features))

"""Gradients that are added where they are made: those of the plain forms, without a pass of their own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from surfhead import kernels
from surfhead.kernels import choices, cuda_skinning, ops
from surfhead.maths import geometry


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=["", "sums", "sums,cpu"])
def left_out(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With kernels and sums, with kernels alone, with neither."""
    if kernels.unavailable("cpu") is not None:
        pytest.skip("needs the native library")
    monkeypatch.setenv(choices.ENVIRONMENT, request.param)
    return str(request.param)


def nodes(value: Tensor) -> set[str]:
    """Names of the nodes of autograd behind a tensor."""
    found, left = set(), [value.grad_fn]
    while left:
        node = left.pop()
        if node is not None:
            found.add(node.name())
            left += [other for other, _ in node.next_functions]
    return found


@pytest.mark.parametrize("both", [True, False])
def test_directions_pass_the_means_on(left_out: str, both: bool) -> None:
    """What is drawn at the means and what looks at them reach them added; that of drawing can be kept."""
    normal = torch.nn.functional.normalize(draw(2, 70, 3, seed=1), dim=-1)
    turn = geometry.axis_angle_to_matrix(draw(2, 70, 3, seed=2))
    centre, upstream, drawn = 4 + draw(2, 3, seed=3), draw(2, 70, 3, seed=4), draw(2, 70, 3, seed=5)
    mean, rotation = draw(2, 70, 3).requires_grad_(), turn.clone().requires_grad_()
    source = mean * 1.0
    directions, normals, passed = ops.rest_directions_passing(source, normal, rotation, centre)
    passed.retain_grad()
    assert ("_PassingBackward" in nodes(directions)) == (left_out == "")
    assert not normals.requires_grad
    assert torch.equal(passed, mean)
    total = (passed * drawn).sum()
    (total + (directions * upstream).sum() if both else total).backward()
    assert passed.grad is not None
    assert torch.equal(passed.grad, drawn)
    exact_mean, exact_turn = mean.detach().double().requires_grad_(), turn.double().requires_grad_()
    exact = ops.rest_directions(exact_mean, normal.double(), exact_turn, centre.double())[0]
    wanted = torch.autograd.grad(exact, (exact_mean, exact_turn), upstream.double())
    assert mean.grad is not None
    together = drawn.double() + wanted[0] * both
    torch.testing.assert_close(mean.grad.double(), together, rtol=1e-4, atol=1e-5)
    if both:
        assert rotation.grad is not None
        torch.testing.assert_close(rotation.grad.double(), wanted[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("both", [True, False])
def test_a_field_passes_its_linear_part_on(left_out: str, both: bool) -> None:
    """The surfels' gradient and that of what reads the field reach it added."""
    shapes = ((2, 70, 3, 3), (2, 70, 3), (70, 3), (70, 2), (70, 4))
    start = [draw(*shape, seed=i) for i, shape in enumerate(shapes)]
    single = [value.clone().requires_grad_() for value in start]
    double = [value.double().requires_grad_() for value in start]
    upstream, beside = draw(2, 70, 3, seed=7), draw(2, 70, 3, 3, seed=8)
    mean, *_, linear = ops.apply_field_passing(*single)
    assert ("_PassingBackward" in nodes(mean)) == (left_out == "")
    total = (linear * beside).sum()
    (total + (mean * upstream).sum() if both else total).backward()
    exact = ops.apply_field(*double)[0]
    ((exact * upstream).sum() * both + (double[0] * beside).sum()).backward()
    for mine, reference in zip(single, double, strict=True):
        found, wanted = (
            torch.zeros_like(reference) if value.grad is None else value.grad.double()
            for value in (mine, reference)
        )
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("degree", [0, 3])
def test_rows_beside_the_whole(left_out: str, degree: int) -> None:
    """Directions of some surfels and of all: the gradient of a selection of its own."""
    rows = torch.tensor([3, 5, 40, 69])
    constant, rest = draw(70, 3), draw(70, 15, 3, seed=1)
    upstream, some = draw(2, 70, 3, seed=3), draw(2, 4, 3, seed=4)
    results = []
    for passing in (True, False):
        leaf = torch.nn.functional.normalize(draw(2, 70, 3, seed=2), dim=-1).requires_grad_()
        directions = leaf * 1.0
        if passing:
            directions, near = ops.selected_beside(directions, 1, rows)
            assert (near.grad_fn is not None and near.grad_fn.name() == "_BesideBackward") == (left_out == "")
        else:
            near = directions.index_select(1, rows)
        colour = ops.harmonic_colours(constant, rest, directions, degree)
        ((near * some).sum() + (colour * upstream).sum()).backward()
        results.append(leaf.grad)
    assert results[0] is not None
    assert bool(results[0].any())
    torch.testing.assert_close(*results, rtol=1e-6, atol=1e-6)


def test_a_constant_is_laid_out_once() -> None:
    """One copy as long as it stays as it is; nothing is kept of what learns."""
    planes = draw(3, 5, 3).movedim(0, -1)
    rows = cuda_skinning.side_by_side(planes)
    assert rows.is_contiguous()
    assert cuda_skinning.side_by_side(planes) is rows
    assert cuda_skinning.side_by_side(rows) is rows
    planes.add_(1.0)
    again = cuda_skinning.side_by_side(planes)
    assert again is not rows
    assert torch.equal(again, planes)
    learning = planes.detach().requires_grad_()
    assert cuda_skinning.side_by_side(learning) is learning


def test_nothing_is_passed_where_nothing_learns(left_out: str) -> None:
    """Drawing takes the plain forms."""
    whole, near = ops.selected_beside(draw(2, 70, 3), 1, torch.tensor([3]))
    assert whole.grad_fn is near.grad_fn is None
    with torch.no_grad():
        linear = draw(2, 70, 3, 3).requires_grad_()
        found = ops.apply_field_passing(linear, draw(2, 70, 3), draw(70, 3), draw(70, 2), draw(70, 4))
    assert found[3] is linear

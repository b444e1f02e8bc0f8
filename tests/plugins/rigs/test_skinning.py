"""Tests of what the rigs share."""

from __future__ import annotations

import math

import pytest
import torch

from surfhead.core.api import ShapeError
from surfhead.plugins.rigs.skinning import blend_shapes, edge_neighbours, linear_blend_skinning


def turn(axis: int, angle: float) -> torch.Tensor:
    """(3, 3) rotation about a coordinate axis, by its definition."""
    cos, sin = math.cos(angle), math.sin(angle)
    matrix = torch.eye(3, dtype=torch.float64)
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    matrix[i, i], matrix[i, j], matrix[j, i], matrix[j, j] = cos, -sin, sin, cos
    return matrix


def test_edge_neighbours_of_a_strip_and_of_a_closed_tetrahedron():
    strip = torch.tensor([[0, 1, 2], [2, 1, 3], [2, 3, 4]])
    assert edge_neighbours(strip).tolist() == [[0, 1, 0], [0, 1, 2], [1, 2, 2]]
    closed = torch.tensor([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]])
    assert edge_neighbours(closed).tolist() == [[3, 2, 1], [0, 2, 3], [0, 3, 1], [1, 2, 0]]


def test_an_edge_of_three_triangles_has_no_neighbour():
    fan = torch.tensor([[0, 1, 2], [1, 0, 3], [0, 1, 4]])
    assert edge_neighbours(fan)[:, 0].tolist() == [0, 1, 2]


def test_no_triangles():
    assert edge_neighbours(torch.zeros(0, 3, dtype=torch.int64)).shape == (0, 3)


def test_a_chain_of_joints_turns_about_each_joint():
    joints = torch.tensor([[[0.0, 0, 0], [0, 1, 0], [0, 2, 0]]], dtype=torch.float64)
    rotations = torch.stack([turn(0, 0.0), turn(2, math.pi / 2), turn(2, math.pi / 2)])[None]
    tip = torch.tensor([[[0.0, 3, 0]]], dtype=torch.float64)
    weights = torch.tensor([[0.0, 0, 1]], dtype=torch.float64)
    # The first quarter turn lays the upper arm along -x, the second points the hand down.
    posed = linear_blend_skinning(tip, joints, (-1, 0, 1), rotations, weights)
    assert torch.allclose(posed, torch.tensor([[[-1.0, 0, 0]]], dtype=torch.float64))


def test_equal_weights_give_the_mean_of_two_rigid_motions():
    joints = torch.zeros(1, 2, 3, dtype=torch.float64)
    rotations = torch.stack([torch.eye(3, dtype=torch.float64), turn(1, math.pi / 2)])[None]
    point = torch.tensor([[[1.0, 0, 0]]], dtype=torch.float64)
    weights = torch.full((1, 2), 0.5, dtype=torch.float64)
    posed = linear_blend_skinning(point, joints, (-1, 0), rotations, weights)
    assert torch.allclose(posed, torch.tensor([[[0.5, 0, -0.5]]], dtype=torch.float64))


def test_skinning_and_shapes_pass_gradcheck():
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(3, 5, 3, generator=generator, dtype=torch.float64)
    joints = torch.randn(1, 2, 3, generator=generator, dtype=torch.float64)
    weights = torch.rand(5, 2, generator=generator, dtype=torch.float64)
    weights /= weights.sum(dim=1, keepdim=True)

    def pose(coefficients, rotations):
        return linear_blend_skinning(blend_shapes(basis, coefficients), joints, (-1, 0), rotations, weights)

    coefficients = torch.randn(2, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    rotations = torch.randn(2, 2, 3, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(pose, (coefficients, rotations))


def test_wrong_shapes_are_declared_errors():
    with pytest.raises(ShapeError, match="coefficients"):
        blend_shapes(torch.zeros(3, 5, 3), torch.zeros(1, 2))
    with pytest.raises(ShapeError, match="weights"):
        linear_blend_skinning(
            torch.zeros(1, 5, 3), torch.zeros(1, 1, 3), (-1,), torch.eye(3)[None, None], torch.ones(4, 1)
        )

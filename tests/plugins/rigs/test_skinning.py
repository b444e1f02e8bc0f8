"""Tests of what the rigs share."""

from __future__ import annotations

import pytest
import torch

from surfhead.core.api import ShapeError
from surfhead.plugins.rigs.skinning import blend_shapes, edge_neighbours


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


def test_wrong_shapes_are_declared_errors():
    with pytest.raises(ShapeError, match="coefficients"):
        blend_shapes(torch.zeros(3, 5, 3), torch.zeros(1, 2))

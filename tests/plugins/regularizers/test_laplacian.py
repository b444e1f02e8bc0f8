"""The Laplacian of vertex offsets against one computed from edges."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from surfhead.core.types import Mesh, RestMesh, Step, Topology
from surfhead.plugins.regularizers.laplacian import Laplacian
from surfhead.testing import steps

# a closed octahedron: every vertex has four neighbours, all but its opposite
CORNERS = torch.tensor([[1.0, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])
FACES = torch.tensor([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4], [1, 0, 5], [2, 1, 5], [3, 2, 5], [0, 3, 5]])
OPPOSITE = [2, 3, 0, 1, 5, 4]


def octahedron_step(offsets: torch.Tensor) -> Step:
    rest = RestMesh(CORNERS, Topology(FACES, torch.zeros(8, 3, dtype=torch.int64), {}))
    mesh = Mesh(CORNERS.expand(len(offsets), 6, 3), rest)
    return replace(steps.random_step(), mesh=mesh, rig_parameters={"dynamic_offset": offsets})


def test_it_is_the_mean_length_of_the_difference_of_the_laplacians() -> None:
    offsets = 0.1 * torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(0))
    moved = CORNERS + offsets
    total = 0.0
    for pose in range(2):
        for vertex in range(6):
            around = [v for v in range(6) if v not in (vertex, OPPOSITE[vertex])]
            before = CORNERS[vertex] - CORNERS[around].mean(0)
            after = moved[pose, vertex] - moved[pose, around].mean(0)
            total += float((after - before).norm())
    assert Laplacian()(octahedron_step(offsets.flatten(1))).item() == pytest.approx(total / 12, rel=1e-5)


def test_moving_the_surface_as_a_whole_costs_nothing() -> None:
    offsets = torch.tensor([0.2, -0.1, 0.05]).expand(1, 6, 3)
    assert Laplacian()(octahedron_step(offsets)).item() == pytest.approx(0.0, abs=1e-7)


def test_a_vertex_without_triangles_does_not_count() -> None:
    step = octahedron_step(torch.zeros(1, 6, 3))
    rest = RestMesh(torch.cat((CORNERS, CORNERS[:1])), step.mesh.topology)  # type: ignore[union-attr]
    offsets = torch.zeros(1, 7, 3)
    offsets[0, 6] = 1.0
    lonely = replace(step, mesh=Mesh(rest.vertices[None], rest), rig_parameters={"dynamic_offset": offsets})
    assert Laplacian()(lonely).item() == 0.0


def test_rigs_without_offsets_give_zero() -> None:
    assert Laplacian()(replace(steps.random_step(), rig_parameters={})).item() == 0.0


def test_at_an_open_edge_both_of_its_ends_count() -> None:
    rest = RestMesh(
        CORNERS[:3], Topology(torch.tensor([[0, 1, 2]]), torch.zeros(1, 3, dtype=torch.int64), {})
    )
    offsets = torch.zeros(1, 3, 3)
    offsets[0, 0, 2] = 0.06  # its two neighbours see half of it
    step = replace(
        steps.random_step(), mesh=Mesh(CORNERS[None, :3], rest), rig_parameters={"dynamic_offset": offsets}
    )
    assert Laplacian()(step).item() == pytest.approx((0.06 + 0.03 + 0.03) / 3)

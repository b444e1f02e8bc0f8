"""The blend of a host and its neighbours: what its logits mean, and that a stranger's deformer can use it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from surfhead.core.api import AffineField, Binding, Deformer, Mesh, neighbour_blend
from surfhead.core.parameters import NEIGHBOUR_WEIGHTS, with_role
from surfhead.testing import check, tiny
from surfhead.testing.steps import host_field


def test_weights_are_sigmoids_over_their_sum_and_the_host_alone_on_the_eyes() -> None:
    logits = torch.tensor([[0.0, 0.0, math.log(3.0), -40.0]]).expand(3, 4)
    found = neighbour_blend.weights(
        Binding(torch.arange(3), {"blend": logits}, {"eyeballs": torch.tensor([1])})
    )
    expected = torch.tensor([0.5, 0.5, 0.75, 0.0]) / 1.75
    torch.testing.assert_close(found[0], expected)
    torch.testing.assert_close(found[2], expected)
    assert found[1].tolist() == [1.0, 0.0, 0.0, 0.0]


def test_it_starts_at_nine_tenths_for_the_host() -> None:
    start = neighbour_blend.BLEND.start(1, tiny.generator())
    weights = neighbour_blend.weights(Binding(torch.zeros(1, dtype=torch.int64), {"blend": start}))
    torch.testing.assert_close(weights, torch.tensor([[0.9, 0.05, 0.05, 0.05]]) / 1.05)


def test_the_neighbourhood_is_the_host_and_what_lies_across_its_edges() -> None:
    rest = tiny.rest_mesh(1, 1)  # two triangles that share an edge
    near = neighbour_blend.neighbourhood(Mesh(rest.vertices[None], rest), tiny.binding({}, 2, rest.topology))
    assert sorted(near[:, 0].tolist()) == [0, 1]
    for row in near.tolist():
        assert sorted(row[1:]) == sorted([row[0], row[0], 1 - row[0]])


class Centroids(Deformer):
    """A stranger's: the host's field, carried by the blended centroids' motion from rest."""

    name = "centroids"
    summary = "Blends how far centroids moved."
    capturable = True

    def parameters(self) -> dict[str, Any]:
        return {"blend": neighbour_blend.BLEND}

    def __call__(self, mesh: Mesh | None, binding: Binding) -> AffineField:
        assert mesh is not None
        field = host_field(mesh, binding)
        near, share = neighbour_blend.neighbourhood(mesh, binding), neighbour_blend.weights(binding)
        arm = mesh.rest.frames.centroid[near] - self._own(mesh, near)
        turned = field.rotation[:, :, None] @ arm[..., None]
        away = mesh.frames.centroid[:, near] - field.origin[:, :, None] - turned.squeeze(-1)
        origin = field.origin + (share[..., None] * away).sum(dim=2)
        return AffineField(field.linear, origin, field.rotation, field.scale)

    def _own(self, mesh: Mesh, near: torch.Tensor) -> torch.Tensor:
        return mesh.rest.frames.centroid[near[:, :1]]


def test_a_strangers_deformer_blends_neighbours_and_keeps_its_contract(tmp_path: Path) -> None:
    assert [result for result in check(Centroids, tmp_path) if not result.passed] == []
    assert with_role(Centroids().parameters(), NEIGHBOUR_WEIGHTS) == "blend"

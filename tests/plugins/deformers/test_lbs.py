"""Linear blend of Jacobians."""

from __future__ import annotations

import math

import pytest
import torch

from surfhead.core.api import Binding, Mesh, RestMesh, Topology
from surfhead.maths import geometry
from surfhead.plugins.deformers.lbs import Lbs

from .conftest import Patch


def test_blend_and_its_polar_rotation_by_hand(patch: Patch) -> None:
    mesh = patch.mesh(patch.vertices())
    field = Lbs()(mesh, patch.binding)
    jacobian = mesh.frames.edges @ torch.linalg.inv(patch.rest.frames.edges)
    frames = patch.rest.frames
    alone = set(patch.binding.regions["eyeballs"].tolist() + patch.binding.regions["boundary"].tolist())
    for surfel, host in enumerate(patch.binding.triangle.tolist()):
        weight = patch.binding.parameters["blend"][surfel].sigmoid()
        weight = weight / weight.sum()
        if surfel in alone:
            weight = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
        around = [host, *patch.rest.topology.neighbours[host].tolist()]
        affine = sum(w * jacobian[:, j] for w, j in zip(weight, around, strict=True))
        torch.testing.assert_close(
            field.linear[:, surfel], affine @ (frames.scale[host] * frames.rotation[host])
        )
        u, _, v = torch.linalg.svd(affine)
        torch.testing.assert_close(field.rotation[:, surfel], u @ v)


def loose_triangles(turns: list[list[float]]) -> tuple[Mesh, Binding]:
    """One triangle with three neighbours that are not attached, each turned by a vector of its own."""
    corners = torch.tensor([[0.0, 0, 0], [0.02, 0, 0], [0.0, 0.02, 0]], dtype=torch.float64)
    rest = torch.cat([corners] * 4)
    matrices = geometry.axis_angle_to_matrix(torch.tensor(turns, dtype=torch.float64))
    posed = torch.cat([corners @ matrix.mT for matrix in matrices])[None]
    neighbours = torch.tensor([[1, 2, 3]] * 4)
    mesh = Mesh(posed, RestMesh(rest, Topology(torch.arange(12).reshape(4, 3), neighbours, {})))
    weights = torch.tensor([[0.1, 0.3, 0.3, 0.3]], dtype=torch.float64)
    return mesh, Binding(torch.tensor([0]), {"blend": torch.logit(weights)})


def test_a_reflecting_blend_takes_the_hosts_rotation() -> None:
    # 0.1·1 plus 0.3 of a half turn about each axis is -0.2·1
    half = math.pi
    mesh, binding = loose_triangles([[0, 0, 0], [half, 0, 0], [0, half, 0], [0, 0, half]])
    binding.parameters["blend"].requires_grad_()
    field = Lbs()(mesh, binding)
    assert float(geometry.determinant(field.linear.detach())) < 0
    torch.testing.assert_close(field.rotation[0, 0], torch.eye(3, dtype=torch.float64))
    gradient = torch.autograd.grad(field.rotation.sum() + field.linear.sum(), binding.parameters["blend"])[0]
    assert torch.isfinite(gradient).all()


def test_a_singular_blend_takes_the_hosts_rotation() -> None:
    """Half of a half turn about u and half of none is u uᵀ, whose determinant is rounding of either sign."""
    random = torch.Generator().manual_seed(0)
    axes = torch.nn.functional.normalize(torch.randn(4, 3, generator=random, dtype=torch.float64), dim=-1)
    signs = set()
    for size in (1.0, 1e3):  # of the posed triangles, in lengths of those at rest
        for axis in (math.pi * axes).tolist():
            mesh, binding = loose_triangles([[0, 0, 0], axis, [0, 0, 0], axis])
            mesh = Mesh(size * mesh.vertices, mesh.rest)
            binding.parameters["blend"] = torch.zeros(1, 4, dtype=torch.float64)
            field = Lbs()(mesh, binding)
            signs.add(bool(geometry.determinant(field.linear) > 0))
            torch.testing.assert_close(field.rotation[0, 0], torch.eye(3, dtype=torch.float64))
    assert signs == {True, False}


@pytest.mark.parametrize("angle", [0.5, 1.2])
def test_blending_opposite_turns_loses_volume(angle: float) -> None:
    mesh, binding = loose_triangles([[0, 0, angle], [0, 0, -angle], [0, 0, angle], [0, 0, -angle]])
    field = Lbs()(mesh, binding)
    volume = float(geometry.determinant(field.linear) / field.scale**3)
    balance = 0.1 - 0.3 + 0.3 - 0.3
    expected = math.cos(angle) ** 2 + (balance * math.sin(angle)) ** 2
    assert volume == pytest.approx(expected)
    assert volume < 0.95

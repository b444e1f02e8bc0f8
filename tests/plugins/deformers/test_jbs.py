"""Jacobian blend skinning against SciPy, and the two blends of rotations against each other."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.linalg import polar
from scipy.spatial.transform import Rotation

from surfhead.core.api import OptionError, RestMesh
from surfhead.core.neighbour_blend import BLEND, weights
from surfhead.maths import geometry
from surfhead.plugins.deformers.jacobian import Jacobian
from surfhead.plugins.deformers.jbs import Jbs

from .conftest import Patch, make_patch
from .test_lbs import loose_triangles


@pytest.mark.parametrize("blend", ["relative", "paper"])
def test_against_scipy(blend: str, patch: Patch) -> None:
    mesh = patch.mesh(patch.vertices())
    field = Jbs(Jbs.Options(rotation_blend=blend))(mesh, patch.binding)
    frames = patch.rest.frames
    jacobian = (mesh.frames.edges @ torch.linalg.inv(frames.edges)).numpy()
    factors = weights(patch.binding).numpy()
    for surfel, host in enumerate(patch.binding.triangle.tolist()):
        around = [host, *patch.rest.topology.neighbours[host].tolist()]
        for pose in range(2):
            rotations, stretches = zip(*(polar(jacobian[pose, j]) for j in around), strict=True)
            reference = rotations[0] if blend == "relative" else np.eye(3)
            logs = [Rotation.from_matrix(reference.T @ r).as_rotvec() for r in rotations]
            turn = reference @ Rotation.from_rotvec(factors[surfel] @ np.array(logs)).as_matrix()
            affine = turn @ np.tensordot(factors[surfel], np.array(stretches), axes=1)
            expected = affine @ (frames.scale[host] * frames.rotation[host]).numpy()
            np.testing.assert_allclose(field.linear[pose, surfel].numpy(), expected, rtol=0, atol=1e-12)
            np.testing.assert_allclose(field.rotation[pose, surfel].numpy(), turn, rtol=0, atol=1e-10)


@pytest.mark.parametrize("blend", ["relative", "paper"])
def test_equal_jacobians_give_the_hosts(blend: str) -> None:
    # a flat sheet under one affine map has the same Jacobian everywhere
    patch = make_patch(regions=False)
    flat = patch.rest.vertices * torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
    patch.rest = RestMesh(flat, patch.rest.topology)
    affine = torch.tensor([[1.3, 0.4, 0.0], [-0.2, 0.9, 0.0], [0.3, 0.5, 1.0]], dtype=torch.float64)
    mesh = patch.mesh((flat @ affine.mT)[None])
    ours = Jbs(Jbs.Options(rotation_blend=blend))(mesh, patch.binding)
    host = Jacobian()(mesh, patch.binding)
    torch.testing.assert_close(ours.linear, host.linear)
    torch.testing.assert_close(ours.rotation, host.rotation)


def test_eyeballs_and_boundary_follow_their_host_alone(patch: Patch) -> None:
    factors = weights(patch.binding)
    alone = torch.cat([patch.binding.regions["eyeballs"], patch.binding.regions["boundary"]])
    assert len(alone) == 4
    assert torch.equal(factors[alone], torch.tensor([[1.0, 0, 0, 0]]).double().expand(4, 4))
    others = torch.ones(len(factors), dtype=torch.bool)
    others[alone] = False
    torch.testing.assert_close(factors.sum(dim=1), torch.ones(len(factors), dtype=torch.float64))
    assert (factors[others] > 0).all()
    mesh = patch.mesh(patch.vertices())
    ours, host = Jbs()(mesh, patch.binding), Jacobian()(mesh, patch.binding)
    torch.testing.assert_close(ours.linear[:, alone], host.linear[:, alone])
    assert float((ours.linear[:, others] - host.linear[:, others]).abs().max()) > 1e-5


def test_initial_weights_and_declaration() -> None:
    specs = Jbs().parameters()
    assert dict(specs) == {"blend": BLEND}
    start = BLEND.start(3, torch.Generator())
    torch.testing.assert_close(start.sigmoid(), torch.tensor([[0.9, 0.05, 0.05, 0.05]]).expand(3, 4))
    assert BLEND.rate.at(0, 100) == BLEND.rate.at(100, 100) == 1e-3
    assert set(BLEND.frozen_regions) == {"eyeballs", "boundary"}


def test_volume_survives_opposite_turns() -> None:
    mesh, binding = loose_triangles([[0, 0, 1.2], [0, 0, -1.2], [0, 0, 1.2], [0, 0, -1.2]])
    for blend in ("relative", "paper"):
        field = Jbs(Jbs.Options(rotation_blend=blend))(mesh, binding)
        assert float(geometry.determinant(field.linear) / field.scale**3) == pytest.approx(1.0)
        turn = geometry.matrix_to_axis_angle(field.rotation)[0, 0]
        torch.testing.assert_close(turn, torch.tensor([0.0, 0.0, -0.2 * 1.2], dtype=torch.float64))


def test_both_blends_agree_at_small_rotations(patch: Patch) -> None:
    mesh = patch.mesh(patch.vertices(2, 0.0005))
    relative = Jbs()(mesh, patch.binding).rotation
    paper = Jbs(Jbs.Options(rotation_blend="paper"))(mesh, patch.binding).rotation
    angle = geometry.matrix_to_axis_angle(relative.mT @ paper).norm(dim=-1)
    assert 0 < float(angle.max()) < 2e-4
    assert Jbs().max_angle == math.inf
    assert Jbs(Jbs.Options(rotation_blend="paper")).max_angle == pytest.approx(math.pi / 2)


def test_any_neighbour_weight_moves_the_field(patch: Patch) -> None:
    logits = patch.binding.parameters["blend"].clone().requires_grad_()
    binding = replace(patch.binding, parameters={"blend": logits})
    field = Jbs()(patch.mesh(patch.vertices()), binding)
    (gradient,) = torch.autograd.grad((field.linear[:, 10] / field.scale[0, 10]).square().sum(), logits)
    assert (gradient[10] != 0).all()
    assert (gradient[:10] == 0).all()


def test_unknown_blend_is_refused() -> None:
    with pytest.raises(OptionError, match="one of relative, paper"):
        Jbs(Jbs.Options(rotation_blend="slerp"))  # type: ignore[arg-type]

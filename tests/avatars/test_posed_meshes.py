"""Meshes that are posed once for a whole training."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from surfhead import kernels
from surfhead.avatars import posed_meshes
from surfhead.avatars.avatar import Avatar
from surfhead.avatars.posed_meshes import PosedMeshes
from surfhead.kernels import ops
from tests.runs.tiny_run import Octahedron, tiny_avatar


def avatar() -> Avatar:
    made = tiny_avatar()
    made.motion["translation"] = torch.arange(9.0).reshape(3, 3)
    return made


def at(timestep: int) -> torch.Tensor:
    return torch.tensor([timestep])


def test_a_timestep_is_posed_once_and_as_the_rig_poses_it() -> None:
    whole = avatar()
    meshes = PosedMeshes(whole)
    first, other = meshes.at(at(1)), meshes.at(at(2))
    assert first is not None
    assert other is not None
    assert meshes.at(at(1)) is first
    for mesh, timestep in ((first, 1), (other, 2)):
        assert torch.equal(mesh.vertices, whole.rig(whole.poses(at(timestep))).vertices)


@pytest.mark.parametrize(
    "change",
    [
        lambda whole: whole.motion["translation"].add_(1.0),
        lambda whole: whole.motion.update(translation=torch.ones(3, 3)),
    ],
    ids=["in place", "another tensor"],
)
def test_another_motion_gives_another_mesh(change: Callable[[Avatar], object]) -> None:
    whole = avatar()
    meshes = PosedMeshes(whole)
    meshes.at(at(1))
    change(whole)
    found = meshes.at(at(1))
    assert found is not None
    assert torch.equal(found.vertices, whole.rig(whole.poses(at(1))).vertices)


def test_another_rig_gives_another_mesh() -> None:
    whole = avatar()
    meshes = PosedMeshes(whole)
    before = meshes.at(at(0))
    whole.rig = Octahedron()
    whole.rig.prepare({})
    assert before is not None
    assert meshes.at(at(0)) is not before


def test_what_learns_and_what_is_a_batch_is_posed_each_time() -> None:
    whole = avatar()
    meshes = PosedMeshes(whole)
    assert meshes.at(torch.tensor([0, 1])) is None
    whole.motion["translation"].requires_grad_()
    assert meshes.at(at(0)) is None
    whole.motion["translation"] = torch.zeros(3, 3)
    whole.shaping = True
    assert meshes.at(at(0)) is None


def test_meshes_beyond_the_room_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = avatar()
    monkeypatch.setattr(posed_meshes, "ROOM", 4 * (6 * 3 + 4 * 10 * 8))
    meshes = PosedMeshes(whole)
    kept, beyond = meshes.at(at(0)), meshes.at(at(1))
    assert meshes.at(at(0)) is kept
    assert meshes.at(at(1)) is not beyond


def test_triangles_of_a_constant_mesh_are_made_once_and_anew_when_it_moves() -> None:
    whole = avatar()
    mesh = whole.rig(whole.poses(at(1)))
    first = ops.pose_triangles(mesh)
    again = ops.pose_triangles(mesh)
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    logarithm = ops.relative_logarithms(first[0], mesh.topology.neighbours)
    if kernels.serves(mesh.vertices):
        assert again[0] is first[0]
        assert ops.relative_logarithms(first[0], mesh.topology.neighbours) is logarithm
    mesh.vertices.add_(1.0)
    moved = ops.pose_triangles(mesh)
    torch.testing.assert_close(moved[2], first[2] + 1.0)
    learning = mesh.vertices.clone().requires_grad_()
    found = ops.pose_triangles(type(mesh)(learning, mesh.rest))
    assert found[2].requires_grad

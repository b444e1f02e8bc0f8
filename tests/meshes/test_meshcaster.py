"""Tests of rays cast at a mesh, against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from surfhead.core.errors import ShapeError
from surfhead.core.types import Cameras
from surfhead.meshes.meshcaster import MeshCaster


def camera(distance=2.0, focal=20.0, size=16, shift=0.0) -> Cameras:
    """One camera on the -z axis looking along +z at the origin, its centre of projection off by shift."""
    pose = torch.eye(4, dtype=torch.float64)[None].clone()
    pose[0, 2, 3] = distance
    half = size / 2
    intrinsics = torch.tensor([[[focal, 0, half + shift], [0, focal, half], [0, 0, 1.0]]])
    return Cameras(pose, intrinsics, size, size)


def plane(slope: float) -> tuple[torch.Tensor, torch.Tensor]:
    """A large square z = slope * x, wound to face the camera at negative z."""
    corner = torch.tensor([[-9.0, -9], [-9, 9], [9, 9], [9, -9]])
    vertices = torch.cat([corner, slope * corner[:, :1]], dim=1)
    return vertices, torch.tensor([[0, 1, 2], [0, 2, 3]])


def test_depth_normal_and_position_on_a_slanted_plane():
    vertices, triangles = plane(0.5)
    cameras = camera(shift=3.0)
    hits = MeshCaster(vertices, triangles).cast(cameras)
    assert bool(hits.mask.all())
    # The ray (x, y, 1) z meets z' = 0.5 x' + 2 (camera space) at z = 2 / (1 - 0.5 x).
    column = torch.arange(16) + 0.5
    x = ((column - 11) / 20)[None, :].expand(16, 16)
    assert torch.allclose(hits.depth[0], 2 / (1 - 0.5 * x), atol=1e-5)
    expected = torch.tensor([0.5, 0, -1]) / math.sqrt(1.25)
    assert torch.allclose(hits.normal[0], expected.expand(16, 16, 3), atol=1e-6)
    world = hits.interpolate(triangles, vertices)[0]
    assert torch.allclose(world[..., 0], x * hits.depth[0], atol=1e-5)
    assert torch.allclose(world[..., 2], hits.depth[0] - 2, atol=1e-5)


def test_the_nearer_of_two_planes_is_hit_and_misses_are_zero():
    vertices, triangles = plane(0.0)
    near = vertices * 0.03 - torch.tensor([0.0, 0, 1.0])
    caster = MeshCaster(torch.cat([vertices * 0.03, near]), torch.cat([triangles, triangles + 4]))
    hits = caster.cast(camera())
    middle = hits.triangle[0, 7:9, 7:9]
    assert bool((middle >= 2).all())
    assert torch.allclose(hits.depth[0, 8, 8], torch.tensor(1.0))
    assert int(hits.triangle[0, 0, 0]) == -1
    assert float(hits.depth[0, 0, 0]) == 0.0
    assert hits.barycentric[0, 0, 0].tolist() == [0.0, 0.0, 0.0]


def test_occluded():
    caster = MeshCaster(*plane(0.0))
    origins = torch.tensor([[0.1, 0.2, -1.0], [0.1, 0.2, -1.0]])
    assert caster.occluded(origins, torch.tensor([[0.0, 0, 3], [0, 0, -1]])).tolist() == [True, False]


def test_an_empty_mesh_and_one_behind_the_camera_are_never_hit():
    empty = MeshCaster(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64))
    assert not bool(empty.cast(camera()).mask.any())
    assert not bool(MeshCaster(*plane(0.0)).cast(camera(distance=-2.0)).mask.any())


def test_vertices_that_are_not_finite_are_refused():
    vertices, triangles = plane(0.0)
    vertices[1, 1] = float("nan")
    with pytest.raises(ShapeError, match="NaN"):
        MeshCaster(vertices, triangles)

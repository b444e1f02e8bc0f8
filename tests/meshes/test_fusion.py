"""Fused depth, against spheres and planes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from surfhead.core.errors import OptionError
from surfhead.meshes.depth_pictures import DepthPictures, prepare
from surfhead.meshes.fusion import BLOCK, TsdfVolume
from surfhead.meshes.surface_mesh import SurfaceMesh, zero_surface
from tests.meshes.depth_scenes import RADIUS, facing_plane, sphere


def fused(
    pictures: list[DepthPictures], voxel: float, side: float = 1.2 * RADIUS, **settings: float | int
) -> TsdfVolume:
    """The volume of pictures in a cube about the origin."""
    corner = torch.full((3,), side)
    volume = TsdfVolume(-corner, corner, voxel, **settings)  # type: ignore[arg-type]
    volume.fuse(prepare(pictures, "cpu"))
    return volume


def off_sphere(mesh: SurfaceMesh) -> np.ndarray:
    """Distance of the vertices from the sphere, metres."""
    return np.abs(np.linalg.norm(mesh.vertices.numpy(), axis=1) - RADIUS)


@pytest.mark.parametrize("voxel", [0.001, 0.002, 0.004])
def test_a_sphere_is_found_to_a_fifth_of_a_voxel(voxel: float) -> None:
    mesh = zero_surface(fused([sphere(size=96)], voxel), 0.05).largest(1)
    # four voxels of truncation t on a sphere: distances along the normal are wrong by up to t²/2R behind it
    assert float(off_sphere(mesh).mean()) < 0.2 * voxel
    assert float(off_sphere(mesh)[mesh.vertices[:, 1].numpy() > -0.6 * RADIUS].max()) < voxel
    # every direction but the unseen bottom has a vertex
    seen = torch.nn.functional.normalize(mesh.vertices, dim=1)
    wanted = torch.nn.functional.normalize(torch.randn(200, 3, generator=torch.Generator().manual_seed(0)))
    wanted = wanted[wanted[:, 1] > -0.6]
    assert float((wanted @ seen.T).amax(dim=1).min()) > 1 - 2 * (voxel / RADIUS) ** 2
    # outward
    assert float((mesh.normals * seen).sum(dim=1).mean()) > 0.95


def test_a_plane_is_exact_between_voxels() -> None:
    # the field of one picture is linear in depth, which marching cubes interpolates without error
    for offset in (0.0, 0.0003, 0.0011):
        pictures = facing_plane(1.0 + offset)
        moved = pictures.cameras.camera_from_world.clone()
        moved[:, 2, 3] = 1.0
        cameras = type(pictures.cameras)(moved, pictures.cameras.intrinsics, 48, 48)
        mesh = zero_surface(
            fused([DepthPictures(cameras, pictures.depth, pictures.weight)], 0.002, 0.03, truncation=0.02)
        )
        assert len(mesh.vertices) > 100
        assert float((mesh.vertices[:, 2] - offset).abs().max()) < 1e-5
        assert float((mesh.normals - torch.tensor([0.0, 0.0, -1.0])).abs().max()) < 1e-2


def test_a_thin_plate_seen_from_both_sides_keeps_its_thickness() -> None:
    thick = 0.006  # less than the truncation
    front, back = facing_plane(1.0 - thick / 2), facing_plane(1.0 - thick / 2, behind=True)
    cameras = [
        type(group.cameras)(
            group.cameras.camera_from_world
            + torch.tensor([[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, thick / 2], [0] * 4]),
            group.cameras.intrinsics,
            48,
            48,
        )
        for group in (front, back)
    ]
    pictures = [
        DepthPictures(camera, group.depth, group.weight)
        for camera, group in zip(cameras, (front, back), strict=True)
    ]
    mesh = zero_surface(fused(pictures, 0.001, 0.02, truncation=0.008))
    z = mesh.vertices[:, 2]
    assert bool((z > 0).any())
    assert bool((z < 0).any())
    # means of both pictures' distances shift the faces a little, never by a voxel
    assert float((z.abs() - thick / 2).abs().max()) < 0.001
    assert bool((mesh.normals[:, 2] * z > 0).all())


def test_what_one_picture_shows_and_others_look_through_is_carved_away() -> None:
    pictures = sphere(views=12, size=64)
    depth, weight = pictures.depth.clone(), pictures.weight.clone()
    depth[0, 30:35, 8:13] = float(depth[0].max())  # a floater beside the sphere, in one picture only
    weight[0, 30:35, 8:13] = 1.0
    others = sphere(views=12, size=64)
    beyond = torch.where(others.depth > 0, others.depth, 2.0)  # they see a far wall behind it
    wall = DepthPictures(others.cameras, beyond, torch.ones_like(beyond))
    first = DepthPictures(pictures.cameras[:1], depth[:1], weight[:1])
    alone = zero_surface(fused([first], 0.002, 0.07))
    carved = zero_surface(fused([first, wall], 0.002, 0.07))
    assert float(off_sphere(alone).max()) > 0.01
    assert float(off_sphere(carved).max()) < 0.004


def test_only_blocks_near_the_surface_are_kept_and_the_chunk_changes_nothing() -> None:
    volume = fused([sphere()], 0.001)
    kept = len(volume.blocks) * (BLOCK * 0.001) ** 3
    shell = 4 * np.pi * RADIUS**2 * (BLOCK * 0.001 + 0.004)
    assert kept < 1.5 * shell
    assert len(volume.blocks) < 0.5 * np.prod(volume.grid)
    small = fused([sphere()], 0.001, chunk=BLOCK**3)
    assert torch.equal(small.blocks, volume.blocks)
    # products of other sizes round differently, which tips a point at a patch's border into the next one
    for one, other in ((small.total, volume.total), (small.weight, volume.weight)):
        assert float(((one - other).abs() > 1e-4).float().mean()) < 1e-3


def test_nothing_seen_gives_no_triangles() -> None:
    pictures = sphere(views=2)
    blank = DepthPictures(
        pictures.cameras, torch.zeros_like(pictures.depth), torch.zeros_like(pictures.weight)
    )
    for groups in ([], [blank]):
        mesh = zero_surface(fused(groups, 0.004))
        assert (len(mesh.vertices), len(mesh.triangles)) == (0, 0)
    # a box that the surface does not pass through
    volume = TsdfVolume(torch.full((3,), 0.2), torch.full((3,), 0.25), 0.004)
    volume.fuse(prepare([pictures], "cpu"))
    assert len(zero_surface(volume).triangles) == 0


BAD = {
    "voxel": ([0.0] * 3, [1.0] * 3, 0.0, '"voxel" is 0.0'),
    "nan": ([0.0] * 3, [1.0] * 3, float("nan"), '"voxel" is nan'),
    "box": ([0.0] * 3, [1.0, 0.0, 1.0], 0.1, r'"box" goes from \(0, 0, 0\) to \(1, 0, 1\)'),
    "infinite": ([0.0] * 3, [1.0, float("inf"), 1.0], 0.1, '"box" goes from'),
    "too many": ([0.0] * 3, [10.0] * 3, 0.0001, '"voxel" is 0.1 mm: the box has 1e\\+15 voxels'),
}


@pytest.mark.parametrize("case", BAD)
def test_boxes_and_voxels_that_cannot_be(case: str) -> None:
    low, high, voxel, message = BAD[case]
    with pytest.raises(OptionError, match=message):
        TsdfVolume(torch.tensor(low), torch.tensor(high), voxel)

"""Holes, cuts, smoothing and simplifying of small surfaces whose right answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from surfhead.meshes import mending
from surfhead.meshes.surface_mesh import SurfaceMesh


def sphere(levels: int = 3, radius: float = 0.1) -> SurfaceMesh:
    made = trimesh.creation.icosphere(levels, radius)
    return SurfaceMesh.of(torch.from_numpy(np.array(made.vertices)), torch.from_numpy(np.array(made.faces)))


def without(mesh: SurfaceMesh, faces: list[int]) -> SurfaceMesh:
    kept = torch.ones(len(mesh.triangles), dtype=torch.bool)
    kept[faces] = False
    return SurfaceMesh.of(mesh.vertices, mesh.triangles[kept])


def solid(mesh: SurfaceMesh) -> trimesh.Trimesh:
    return trimesh.Trimesh(mesh.vertices.numpy(), mesh.triangles.numpy(), process=False)


def test_a_closed_surface_has_no_rim() -> None:
    assert mending.boundary_loops(sphere().triangles) == []


def test_small_holes_are_closed_and_wound_like_the_rest() -> None:
    whole = sphere()
    pricked = without(whole, [0])
    loops = mending.boundary_loops(pricked.triangles)
    assert [len(loop) for loop in loops] == [3]
    assert mending.perimeter(whole.vertices, loops[0]) == pytest.approx(
        float(
            torch.linalg.vector_norm(
                whole.vertices[loops[0]] - whole.vertices[loops[0]].roll(-1, 0), dim=1
            ).sum()
        )
    )
    mended = mending.closed(pricked, 0.1)
    assert solid(mended).is_watertight
    assert solid(mended).is_winding_consistent
    assert solid(mended).volume == pytest.approx(solid(whole).volume, rel=1e-3)
    assert mending.closed(pricked, 0.001) is pricked


def test_a_surface_is_cut_straight_and_can_be_made_watertight() -> None:
    half = mending.cut_off(sphere(), torch.tensor([0.0, 0.02, 0.0]), torch.tensor([0.0, 1.0, 0.0]))
    assert float(half.vertices[:, 1].min()) == pytest.approx(0.02, abs=1e-6)
    loops = mending.boundary_loops(half.triangles)
    assert len(loops) == 1
    assert half.vertices[loops[0]][:, 1].numpy() == pytest.approx(0.02, abs=1e-6)
    cap = mending.watertight(half)
    assert solid(cap).is_watertight
    assert solid(cap).volume == pytest.approx(
        np.pi * (2 * 0.1**3 / 3 - 0.1**2 * 0.02 + 0.02**3 / 3), rel=0.02
    )


def test_an_edge_of_four_triangles_is_mended() -> None:
    one, other = sphere(2), sphere(2)
    edge = one.triangles[0, :2]
    moved = other.triangles + len(one.vertices)
    # the second sphere's edge is the first one's: four triangles meet there
    for mine, theirs in zip(edge.tolist(), other.triangles[0, :2].tolist(), strict=True):
        moved[moved == theirs + len(one.vertices)] = mine
    shifted = other.vertices + torch.tensor([0.3, 0.0, 0.0])
    joined = SurfaceMesh.of(torch.cat([one.vertices, shifted]), torch.cat([one.triangles, moved]))
    assert not solid(joined).is_watertight
    assert solid(mending.watertight(joined)).is_watertight


def test_a_head_is_cut_above_the_rim_of_its_rig() -> None:
    rig = mending.cut_off(sphere(), torch.tensor([0.0, -0.05, 0.0]), torch.tensor([0.0, 1.0, 0.0]))
    plane = mending.rim_plane(rig.vertices, rig.triangles, 0.004)
    assert plane is not None
    assert plane[1].tolist() == pytest.approx([0.0, 1.0, 0.0], abs=1e-5)
    assert float(plane[0][1]) == pytest.approx(-0.046, abs=1e-5)
    assert mending.rim_plane(sphere().vertices, sphere().triangles, 0.004) is None


def test_only_what_is_asked_for_is_smoothed() -> None:
    rough = sphere(4)
    noise = torch.randn(rough.vertices.shape, generator=torch.Generator().manual_seed(0)) * 5e-4
    rough = SurfaceMesh.of(rough.vertices + noise, rough.triangles)
    back = (rough.vertices[:, 2] < 0).float()
    made = mending.smoothed_where(rough, back, 20)

    def unevenness(mesh: SurfaceMesh, part: torch.Tensor) -> float:
        return float(torch.linalg.vector_norm(mesh.vertices[part], dim=1).std())

    assert torch.equal(made.vertices[back == 0], rough.vertices[back == 0])
    deep = rough.vertices[:, 2] < -0.03
    assert unevenness(made, deep) < 0.65 * unevenness(rough, deep)
    assert mending.smoothed_where(rough, torch.zeros(len(rough.vertices)), 20) is rough


def test_triangles_are_fewer_and_the_surface_stays() -> None:
    fine = sphere(5)
    made = mending.decimated(fine, 2000)
    assert 1500 < len(made.triangles) <= 2000
    assert torch.linalg.vector_norm(made.vertices, dim=1).numpy() == pytest.approx(0.1, abs=5e-4)
    assert mending.decimated(fine, 0) is fine
    assert mending.decimated(fine, 10**6) is fine


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".glb"])
def test_a_file_says_where_it_comes_from(suffix: str, tmp_path: pytest.TempPathFactory) -> None:
    from dataclasses import replace

    path = tmp_path / f"head{suffix}"  # type: ignore[operator]
    replace(sphere(1), note="surfhead 1.0, run lena at 300 images").write(path)
    assert b"surfhead 1.0, run lena at 300 images" in path.read_bytes()
    assert len(trimesh.load(path, force="mesh").faces) == 80

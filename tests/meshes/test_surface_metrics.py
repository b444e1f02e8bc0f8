"""Distances between surfaces, against closed forms and brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from surfhead.core.errors import ShapeError
from surfhead.drawing.camera_path import around
from surfhead.meshes.surface_metrics import (
    Surface,
    compare_surfaces,
    distances,
    sample_surface,
    seen,
    triangle_distances,
)


def ball(radius: float, subdivisions: int = 5) -> Surface:
    """An icosphere."""
    made = trimesh.creation.icosphere(subdivisions, radius)
    return Surface(torch.from_numpy(np.array(made.vertices)), torch.from_numpy(np.array(made.faces)))


def square(height: float, side: float = 0.2) -> Surface:
    """A square at z = height, facing +z."""
    corner = torch.tensor([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * side / 2
    corner[:, 2] = height
    return Surface(corner, torch.tensor([[0, 1, 2], [0, 2, 3]]))


def test_parallel_squares_are_as_far_apart_as_they_are() -> None:
    found = compare_surfaces(square(0.002), square(0.0), samples=5000)
    assert found["accuracy_mm"] == pytest.approx(2.0, abs=1e-6)
    assert found["completeness_mm"] == pytest.approx(2.0, abs=1e-6)
    assert found["chamfer_mm"] == pytest.approx(2.0, abs=1e-6)
    assert [found[f"f_score_{t}mm"] for t in ("1", "2.5", "5")] == [0.0, 1.0, 1.0]


def test_what_is_missing_lowers_completeness_alone() -> None:
    # half as wide: a point of the whole at distance d outside is d off; mean over the square by quadrature
    found = compare_surfaces(square(0.0, 0.1), square(0.0, 0.2), samples=20000)
    assert found["accuracy_mm"] == pytest.approx(0.0, abs=1e-9)
    grid = (np.arange(400) + 0.5) / 400 * 0.2 - 0.1
    x, y = np.meshgrid(np.maximum(np.abs(grid) - 0.05, 0), np.maximum(np.abs(grid) - 0.05, 0))
    expected = 1000 * float(np.hypot(x, y).mean())
    assert found["completeness_mm"] == pytest.approx(expected, rel=0.02)
    recall = float((np.hypot(x, y) <= 0.001).mean())
    assert found["f_score_1mm"] == pytest.approx(2 * recall / (1 + recall), rel=0.05)


def test_concentric_spheres() -> None:
    found = compare_surfaces(ball(0.1), ball(0.103), samples=20000)
    # an icosphere of 5 subdivisions lies up to 0.06 mm inside its sphere
    assert found["chamfer_mm"] == pytest.approx(3.0, abs=0.06)
    assert (found["f_score_2.5mm"], found["f_score_5mm"]) == (0.0, 1.0)


def test_distances_to_triangles_against_brute_force() -> None:
    generator = np.random.default_rng(0)
    points, corners = generator.normal(size=(200, 3)), generator.normal(size=(200, 3, 3))
    step = np.linspace(0, 1, 161)
    u, v = np.meshgrid(step, step)
    u, v = u[u + v <= 1 + 1e-9], v[u + v <= 1 + 1e-9]
    weights = np.stack([1 - u - v, u, v], axis=-1)
    lattice = np.einsum("kc,mcd->mkd", weights, corners)
    brute = np.linalg.norm(lattice - points[:, None], axis=-1).min(axis=1)
    found = triangle_distances(points, corners)
    assert (found <= brute + 1e-12).all()
    # half a step of the lattice, along edges of up to 6
    assert (found >= brute - 0.03).all()
    flat = corners.copy()
    flat[:, 2] = flat[:, 1]  # no area: the distance to a segment
    assert np.isfinite(triangle_distances(points, flat)).all()


def test_distances_to_a_mesh_of_large_and_small_triangles() -> None:
    fine = ball(0.1, 4)
    far = torch.tensor([[1.0, -1, -1], [1, 1, -1], [1, 0, 1.5]])
    surface = Surface(
        torch.cat([fine.vertices, far.double()]),
        torch.cat([fine.triangles, len(fine.vertices) + torch.tensor([[0, 1, 2]])]),
    )
    points = np.array([[0.9, 0.0, 0.0], [0.0, 0.0, 0.3], [0.0, 0.15, 0.0]])
    assert distances(points, surface) == pytest.approx([0.1, 0.2, 0.05], abs=3e-4)


def test_points_are_drawn_by_area_and_repeat_with_the_seed() -> None:
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 5], [3, 0, 5], [0, 1, 5]])
    surface = Surface(vertices, torch.tensor([[0, 1, 2], [3, 4, 5]]))
    first = sample_surface(surface, 40000, 3)
    assert float((first.triangle == 1).mean()) == pytest.approx(0.75, abs=0.01)
    middle = first.points[first.triangle == 1].mean(axis=0)
    assert middle == pytest.approx([1.0, 1 / 3, 5.0], abs=0.02)
    assert np.array_equal(first.points, sample_surface(surface, 40000, 3).points)
    assert not np.array_equal(first.points, sample_surface(surface, 40000, 4).points)


def test_only_the_side_that_cameras_see_counts() -> None:
    side = torch.full((3,), 0.2)
    cameras = around(-side, side, 1, (64, 64), full=True)
    both = Surface(
        torch.cat([ball(0.1, 3).vertices, ball(0.05, 3).vertices]),
        torch.cat([ball(0.1, 3).triangles, ball(0.05, 3).triangles + len(ball(0.1, 3).vertices)]),
    )
    drawn = sample_surface(both, 4000)
    visible = seen(drawn, both, cameras)
    eye = cameras.centre[0].double().numpy()
    # a point p of a sphere of radius r is seen from c where p · c > r²; the inner sphere is hidden
    outer = np.linalg.norm(drawn.points, axis=1) > 0.07
    expected = outer & (drawn.points @ eye > 0.1**2)
    # the icosphere's flat triangles are seen or not as a whole near the horizon
    assert float((visible == expected).mean()) > 0.98
    assert not visible[~outer].any()
    # a point on the far side does not count, however wrong
    dented = both.vertices.clone()
    dented[(dented @ torch.from_numpy(eye)) < -0.02] *= 0.8
    found = compare_surfaces(
        Surface(dented, both.triangles), Surface(both.vertices, both.triangles), cameras=cameras, samples=2000
    )
    assert found["chamfer_mm"] < 0.05


def test_damaged_surfaces_are_refused() -> None:
    good = square(0.0)
    with pytest.raises(ShapeError, match="NaN"):
        Surface(good.vertices * float("nan"), good.triangles)
    with pytest.raises(ShapeError, match='"triangles" is empty'):
        Surface(good.vertices, good.triangles[:0])
    with pytest.raises(ShapeError, match="names a vertex that does not exist"):
        Surface(good.vertices, good.triangles + 1)
    with pytest.raises(ShapeError, match="has no area"):
        sample_surface(Surface(torch.zeros(4, 3), good.triangles), 10)
    away = around(torch.full((3,), 5.0), torch.full((3,), 5.1), 1, (8, 8))
    with pytest.raises(ShapeError, match="No camera sees a point of the mesh"):
        compare_surfaces(good, good, cameras=away, samples=10)

"""Triangle frames, Jacobians and their closed-form polar decomposition."""

from __future__ import annotations

import math

import pytest
import torch

from surfhead.maths import geometry
from surfhead.maths.triangles import (
    TriangleFrames,
    TriangleJacobians,
    jacobians,
    triangle_frames,
    vertex_normals,
)
from tests.gradients import check_gradients


def soup(count: int, poses: int, dtype: torch.dtype = torch.float64):
    """``count`` separate triangles of centimetres: rest (3 count, 3), posed (poses, 3 count, 3)."""
    generator = torch.Generator().manual_seed(0)
    rest = 0.02 * torch.randn(3 * count, 3, generator=generator, dtype=dtype)
    posed = 0.02 * torch.randn(poses, 3 * count, 3, generator=generator, dtype=dtype)
    return rest, posed, torch.arange(3 * count).reshape(count, 3)


def both(rest: torch.Tensor, posed: torch.Tensor, triangles: torch.Tensor) -> TriangleJacobians:
    return jacobians(triangle_frames(rest, triangles), triangle_frames(posed, triangles))


def test_frame_of_a_hand_computed_triangle() -> None:
    # legs of 3 along y and 4 along -x at (1, 1, 1): normal +z, a = y, b = -x
    vertices = torch.tensor([[1.0, 1.0, 1.0], [1.0, 4.0, 1.0], [-3.0, 2.0, 1.0]])
    frames = triangle_frames(vertices, torch.tensor([[0, 1, 2]]))
    expected = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    torch.testing.assert_close(frames.rotation[0], expected)
    torch.testing.assert_close(frames.scale, torch.tensor([3.5]))
    torch.testing.assert_close(frames.along, torch.tensor([1.0]))
    torch.testing.assert_close(frames.height, torch.tensor([4.0]))
    torch.testing.assert_close(frames.area, torch.tensor([12.0]))
    torch.testing.assert_close(frames.centroid[0], torch.tensor([-1 / 3, 7 / 3, 1.0]))
    torch.testing.assert_close(frames.edges[0, :, 2], torch.tensor([0.0, 0.0, math.sqrt(12.0)]))


def test_inverse_edge_matrix() -> None:
    _, posed, triangles = soup(40, 2)
    frames = triangle_frames(posed, triangles)
    expected = torch.linalg.inv(frames.edges)
    torch.testing.assert_close(frames.inverse_edges, expected)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-5)])
def test_jacobian_maps_rest_edges_to_posed_edges(dtype: torch.dtype, tolerance: float) -> None:
    deformed = both(*soup(200, 3, dtype))
    mapped = deformed.jacobian @ deformed.rest.edges[..., :2]
    size = deformed.posed.edges[..., :2].norm(dim=-2, keepdim=True).amax(dim=-1, keepdim=True)
    assert float(((mapped - deformed.posed.edges[..., :2]) / size).abs().max()) < tolerance
    normal = (deformed.jacobian @ deformed.rest.rotation[..., 2:]).squeeze(-1)
    stretch = (deformed.posed.area / deformed.rest.area).sqrt()[..., None]
    torch.testing.assert_close(normal, stretch * deformed.posed.rotation[..., 2], rtol=1e-3, atol=1e-5)


def test_determinant_is_positive_and_as_stated() -> None:
    deformed = both(*soup(200, 3))
    expected = (deformed.posed.area / deformed.rest.area) ** 1.5
    torch.testing.assert_close(torch.linalg.det(deformed.jacobian), expected)


def test_closed_polar_decomposition_is_the_svds() -> None:
    deformed = both(*soup(200, 3))
    u, values, v = torch.linalg.svd(deformed.jacobian)
    torch.testing.assert_close(deformed.rotation, u @ v)
    torch.testing.assert_close(deformed.stretch, v.mT @ (values[..., None] * v))
    torch.testing.assert_close(deformed.rotation @ deformed.stretch, deformed.jacobian)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_stretch_is_symmetric_positive_and_rotation_proper(dtype: torch.dtype) -> None:
    deformed = both(*soup(200, 3, dtype))
    stretch = deformed.stretch
    assert torch.equal(stretch, stretch.mT)
    assert float(torch.linalg.eigvalsh(stretch.double()).min()) > 0
    identity = torch.eye(3, dtype=dtype).expand_as(stretch)
    torch.testing.assert_close(deformed.rotation @ deformed.rotation.mT, identity, rtol=0, atol=5e-6)
    assert float(geometry.determinant(deformed.rotation).min()) > 0.99


def test_a_flipped_triangle_turns_it_does_not_reflect() -> None:
    rest, _, triangles = soup(1, 1)
    deformed = both(rest, rest[None, [1, 0, 2]], triangles)
    assert float(torch.linalg.det(deformed.jacobian)) == pytest.approx(1.0)
    torch.testing.assert_close(deformed.posed.rotation[0, ..., 2], -deformed.rest.rotation[..., 2])


def test_rest_pose_gives_the_identity_and_finite_gradients() -> None:
    rest, _, triangles = soup(50, 1)
    posed = rest[None].clone().requires_grad_()
    deformed = both(rest, posed, triangles)
    identity = torch.eye(3, dtype=rest.dtype).expand(1, 50, 3, 3)
    for matrix in (deformed.jacobian, deformed.rotation, deformed.stretch):
        torch.testing.assert_close(matrix, identity, rtol=0, atol=1e-12)
        (gradient,) = torch.autograd.grad(matrix.square().sum(), posed, retain_graph=True)
        assert torch.isfinite(gradient).all()


def test_gradients_against_finite_differences() -> None:
    rest, posed, triangles = soup(6, 2)
    rest, posed = 50 * rest, 50 * posed  # metres, so that the step of gradcheck is small beside an edge

    def factors(vertices: torch.Tensor) -> tuple[torch.Tensor, ...]:
        deformed = both(rest, vertices, triangles)
        return deformed.jacobian, deformed.rotation, deformed.stretch

    check_gradients(factors, (posed.requires_grad_(),))
    at_rest = rest[None].clone().requires_grad_()
    check_gradients(factors, (at_rest,))


def test_frame_gradients_against_finite_differences() -> None:
    _, posed, triangles = soup(4, 2)

    def outputs(vertices: torch.Tensor) -> tuple[torch.Tensor, ...]:
        frames = triangle_frames(vertices, triangles)
        return frames.rotation, frames.scale, frames.centroid, frames.edges, frames.inverse_edges

    check_gradients(outputs, ((50 * posed).requires_grad_(),))


def collapse(vertices: torch.Tensor, how: str) -> torch.Tensor:
    """The soup with its first triangle (vertices 0, 1, 2) made degenerate."""
    vertices = vertices.clone()
    if how == "point":
        vertices[..., 1:3, :] = vertices[..., :1, :]
    elif how == "line":
        vertices[..., 2, :] = 0.3 * vertices[..., 0, :] + 0.7 * vertices[..., 1, :]
    elif how == "sliver":  # height of 5e-5 of the longest edge
        edge = vertices[..., 1, :] - vertices[..., 0, :]
        across = torch.linalg.cross(edge, edge.roll(1, -1))
        across = across / across.norm(dim=-1, keepdim=True) * edge.norm(dim=-1, keepdim=True)
        vertices[..., 2, :] = vertices[..., 0, :] + 0.5 * edge + 5e-5 * across
    else:  # tiny: a regular triangle whose edges are under a micrometre
        vertices[..., :3, :] = 5e-7 * torch.eye(3, dtype=vertices.dtype)
    return vertices


@pytest.mark.parametrize("how", ["point", "line", "sliver", "tiny"])
@pytest.mark.parametrize("where", ["rest", "posed", "both"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_degenerate_triangles(how: str, where: str, dtype: torch.dtype) -> None:
    rest, posed, triangles = soup(3, 2, dtype)
    rest = collapse(rest, how) if where != "posed" else rest
    posed = collapse(posed, how) if where != "rest" else posed
    posed.requires_grad_()
    deformed = both(rest, posed, triangles)
    assert deformed.valid.tolist() == [[False, True, True]] * 2
    total = deformed.posed.centroid.sum() * 0
    for matrix in (deformed.jacobian, deformed.rotation, deformed.stretch):
        assert torch.equal(matrix[:, 0], torch.eye(3, dtype=dtype).expand(2, 3, 3))
        assert torch.isfinite(matrix).all()
        total = total + matrix.square().sum() + matrix[..., 0, 1].sum()
    total = total + deformed.posed.scale.sum() + deformed.posed.inverse_edges.square().sum() * 1e-9
    (gradient,) = torch.autograd.grad(total, posed)
    assert torch.isfinite(gradient).all()
    if where != "rest":
        assert torch.equal(gradient[:, :3], torch.zeros(2, 3, 3, dtype=dtype))
    assert (gradient[:, 3:] != 0).any()
    torch.testing.assert_close(deformed.posed.centroid[:, 0], posed[:, :3].mean(dim=1))


def test_thresholds_of_degeneracy() -> None:
    # the longest edge is 0.02 m, so |c| must exceed 1e-4 · 4e-4 = 4e-8 m², a height of 2e-6 m
    triangles = torch.tensor([[0, 1, 2]])
    for height, valid in ((1.9e-6, False), (2.1e-6, True)):
        vertices = torch.tensor([[0, 0, 0], [0.02, 0, 0], [0.01, height, 0]], dtype=torch.float64)
        assert triangle_frames(vertices, triangles).valid.tolist() == [valid]
    # a regular small triangle: |c| must exceed 1e-12 m²
    for leg, valid in ((0.99e-6, False), (1.01e-6, True)):
        vertices = torch.tensor([[0, 0, 0], [leg, 0, 0], [0, leg, 0]], dtype=torch.float64)
        assert triangle_frames(vertices, triangles).valid.tolist() == [valid]


def test_no_triangles_and_detached_frames() -> None:
    vertices = torch.randn(2, 5, 3, requires_grad=True)
    frames = triangle_frames(vertices, torch.zeros(0, 3, dtype=torch.int64))
    assert frames.rotation.shape == (2, 0, 3, 3)
    frames = triangle_frames(vertices, torch.tensor([[0, 1, 2]]))
    assert isinstance(frames.detach(), TriangleFrames)
    assert frames.scale.requires_grad
    assert not frames.detach().scale.requires_grad
    assert not frames.detach().inverse_edges.requires_grad


def test_vertex_normals_weigh_triangles_by_area() -> None:
    vertices = torch.tensor([[0.0, 0, 0], [2, 0, 0], [0, 2, 0], [0, 0, 1], [5, 5, 5]])
    # twice the areas are 4 along +z and 2 along +y
    found = vertex_normals(vertices, torch.tensor([[0, 1, 2], [0, 3, 1]]))
    shared = [0.0, 1 / math.sqrt(5), 2 / math.sqrt(5)]
    expected = torch.tensor([shared, shared, [0, 0, 1], [0, 1, 0], [0, 0, 0]])  # nothing is round the last
    torch.testing.assert_close(found, expected)

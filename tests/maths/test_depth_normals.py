"""Normals of depth pictures of surfaces known in closed form."""

from __future__ import annotations

import pytest
import torch

from surfhead.core.types import RenderOutput
from surfhead.maths.depth_normals import depth_normals, surface_depth

HEIGHT, WIDTH = 40, 52
INTRINSICS = torch.tensor([[[90.0, 0.0, 23.0], [0.0, 80.0, 21.5], [0.0, 0.0, 1.0]]], dtype=torch.float64)


def rays() -> torch.Tensor:
    """(H, W, 3) directions through the pixels' centres with z = 1."""
    row, column = torch.meshgrid(
        torch.arange(HEIGHT, dtype=torch.float64) + 0.5,
        torch.arange(WIDTH, dtype=torch.float64) + 0.5,
        indexing="ij",
    )
    return torch.stack(((column - 23.0) / 90.0, (row - 21.5) / 80.0, torch.ones_like(row)), dim=-1)


def test_a_slanted_plane_has_its_own_normal_everywhere_inside() -> None:
    normal = torch.nn.functional.normalize(torch.tensor([0.3, -0.2, -1.0], dtype=torch.float64), dim=0)
    distance = -0.8  # normal · P = distance, in front of the camera
    depth = (distance / (rays() @ normal))[None]
    alpha = torch.full_like(depth, 0.7)
    found, defined = depth_normals(depth, alpha, INTRINSICS)
    assert bool((depth > 0).all())
    torch.testing.assert_close(found[0, 1:-1, 1:-1], (0.7 * normal).expand(HEIGHT - 2, WIDTH - 2, 3))
    border = torch.ones(HEIGHT, WIDTH, dtype=torch.bool)
    border[1:-1, 1:-1] = False
    assert bool((found[0][border] == 0).all())
    assert bool((defined[0] == ~border).all())


def test_a_sphere_has_radial_normals_that_face_the_camera() -> None:
    centre = torch.tensor([0.02, 0.01, 1.0], dtype=torch.float64)
    radius = 0.3
    direction = rays()
    b = direction @ centre
    a = direction.square().sum(-1)
    depth = ((b - (b * b - a * (centre @ centre - radius**2)).clamp_min(0).sqrt()) / a)[None]
    hit = (b * b - a * (centre @ centre - radius**2) > 0)[None]
    depth = torch.where(hit, depth, 0.0)
    found, defined = depth_normals(depth, hit.double(), INTRINSICS)
    truth = (direction * depth[0, ..., None] - centre) / radius
    inner = defined[0] & ((truth * torch.nn.functional.normalize(direction, dim=-1)).sum(-1) < -0.6)
    assert int(inner.sum()) > 300
    cosine = (found[0] * truth).sum(-1)[inner]
    assert cosine.min() > 0.9995
    assert bool((found[~defined] == 0).all())


def test_a_hole_undefines_its_four_neighbours_and_itself() -> None:
    depth = torch.ones(1, 9, 9, dtype=torch.float64)
    alpha = torch.ones_like(depth)
    alpha[0, 4, 4] = 0.0
    _, defined = depth_normals(depth, alpha, INTRINSICS)
    cross = torch.zeros(9, 9, dtype=torch.bool)
    for row, column in ((4, 4), (3, 4), (5, 4), (4, 3), (4, 5)):
        cross[row, column] = True
    assert bool((~defined[0, 1:-1, 1:-1] == cross[1:-1, 1:-1]).all())


def test_gradients_reach_the_depth_but_not_alpha() -> None:
    generator = torch.Generator().manual_seed(0)
    depth = 1 + 0.01 * torch.rand(1, 6, 7, generator=generator, dtype=torch.float64)
    alpha = torch.rand(1, 6, 7, generator=generator, dtype=torch.float64)
    alpha[0, 2, 3] = 0.0
    depth.requires_grad_()
    alpha.requires_grad_()
    assert torch.autograd.gradcheck(lambda d: depth_normals(d, alpha.detach(), INTRINSICS)[0], (depth,))
    depth_normals(depth, alpha, INTRINSICS)[0].square().sum().backward()
    assert alpha.grad is None


@pytest.mark.parametrize("size", [(0, 0), (2, 9), (9, 1)])
def test_pictures_without_an_inside_have_no_normals(size: tuple[int, int]) -> None:
    depth = torch.ones(2, *size)
    found, defined = depth_normals(depth, depth, INTRINSICS.float().expand(2, 3, 3))
    assert found.shape == (2, *size, 3)
    assert not bool(defined.any())


def test_the_smallest_picture_with_an_inside_has_one_normal() -> None:
    depth = torch.full((1, 3, 3), 2.0, dtype=torch.float64)
    found, defined = depth_normals(depth, torch.ones_like(depth), INTRINSICS)
    assert defined.nonzero().tolist() == [[0, 1, 1]]
    torch.testing.assert_close(found[0, 1, 1], torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64))


def test_an_empty_picture_gives_zeros_and_finite_gradients() -> None:
    depth = torch.zeros(1, 8, 8, requires_grad=True)
    found, _ = depth_normals(depth, torch.zeros(1, 8, 8), INTRINSICS.float())
    found.sum().backward()
    assert bool((found == 0).all())
    assert depth.grad is not None
    assert bool((depth.grad == 0).all())


def test_the_depth_ratio_mixes_expected_and_median_depth() -> None:
    one = torch.ones(1, 2, 2)
    output = RenderOutput(one, one, one, 1.0 * one, 3.0 * one, one, one, one)
    assert surface_depth(output, 0.0)[0, 0, 0] == 1.0
    assert surface_depth(output, 1.0)[0, 0, 0] == 3.0
    assert surface_depth(output, 0.25)[0, 0, 0] == 1.5

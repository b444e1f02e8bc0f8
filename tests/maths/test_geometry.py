"""Rotations against SciPy and against each other; polar decomposition against the SVD."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.spatial.transform import Rotation

from surfhead.maths import geometry

ANGLES = [0.0, 1e-9, 1e-6, 9.9e-5, 1.01e-4, 1e-2, 1.0, 3.0, math.pi - 1e-6]


def rotation_vectors(angle: float, count: int = 16) -> torch.Tensor:
    """(count, 3) float64 vectors of one length in random directions."""
    axes = torch.randn(count, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return angle * axes / axes.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize("angle", ANGLES)
def test_axis_angle_to_matrix_is_scipys(angle: float) -> None:
    vectors = rotation_vectors(angle)
    expected = torch.from_numpy(Rotation.from_rotvec(vectors.numpy()).as_matrix())
    torch.testing.assert_close(geometry.axis_angle_to_matrix(vectors), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("angle", ANGLES)
def test_logarithm_undoes_the_exponential(angle: float) -> None:
    vectors = rotation_vectors(angle)
    back = geometry.matrix_to_axis_angle(geometry.axis_angle_to_matrix(vectors))
    torch.testing.assert_close(back, vectors, rtol=1e-7, atol=1e-9)
    quaternion = geometry.axis_angle_to_quaternion(vectors)
    torch.testing.assert_close(geometry.quaternion_to_axis_angle(-quaternion), vectors, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("angle", [0.0, 1e-6, 1.0, 2.5])
@pytest.mark.parametrize(
    "function",
    [
        geometry.axis_angle_to_matrix,
        lambda v: geometry.matrix_to_axis_angle(geometry.axis_angle_to_matrix(v)),
        lambda v: geometry.quaternion_to_matrix(2 * geometry.axis_angle_to_quaternion(v)),
    ],
)
def test_gradients_of_rotations(function, angle: float) -> None:
    vectors = rotation_vectors(angle, 3).requires_grad_()
    assert torch.autograd.gradcheck(function, (vectors,))


def test_taylor_branches_meet_the_formulas() -> None:
    # on both sides of |v|² = 1e-8 values and slopes agree to the series' next term
    for function in (geometry.axis_angle_to_quaternion, geometry.quaternion_to_axis_angle):
        gradients = []
        for angle in (0.99999e-4, 1.00001e-4):
            value = torch.tensor([0.6 * angle, 0.0, 0.8 * angle], dtype=torch.float64)
            if function is geometry.quaternion_to_axis_angle:
                value = torch.cat((torch.tensor([math.sqrt(1 - angle**2)], dtype=torch.float64), value))
            gradients.append(torch.autograd.functional.jacobian(function, value))
        torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=1e-8)


def test_matrix_to_quaternion_in_every_branch() -> None:
    axes = torch.cat((torch.eye(3), torch.tensor([[1.0, 1.0, 1.0]]), torch.randn(50, 3))).double()
    axes = axes / axes.norm(dim=-1, keepdim=True)
    for angle in (0.0, 0.3, 2.0, math.pi):
        quaternion = geometry.matrix_to_quaternion(geometry.axis_angle_to_matrix(angle * axes))
        assert (quaternion[:, 0] >= 0).all()
        xyzw = Rotation.from_rotvec((angle * axes).numpy()).as_quat()
        expected = torch.from_numpy(xyzw)[:, [3, 0, 1, 2]]
        same = (quaternion * expected).sum(-1).abs()
        torch.testing.assert_close(same, torch.ones_like(same), rtol=0, atol=1e-12)


def test_quaternion_product_composes_rotations() -> None:
    first, second = torch.randn(2, 20, 4, dtype=torch.float64)
    product = geometry.quaternion_multiply(first, second)
    torch.testing.assert_close(
        geometry.quaternion_to_matrix(product),
        geometry.quaternion_to_matrix(first) @ geometry.quaternion_to_matrix(second),
    )
    back = geometry.quaternion_multiply(first, geometry.quaternion_conjugate(first))
    torch.testing.assert_close(back[:, 1:], torch.zeros(20, 3, dtype=torch.float64))


def test_cross_matrix_and_determinant() -> None:
    v, x = torch.randn(2, 9, 3, dtype=torch.float64)
    crossed = (geometry.cross_matrix(v) @ x[..., None]).squeeze(-1)
    torch.testing.assert_close(crossed, torch.linalg.cross(v, x))
    matrices = torch.randn(4, 5, 3, 3, dtype=torch.float64)
    torch.testing.assert_close(geometry.determinant(matrices), torch.linalg.det(matrices))


def blends(count: int, dtype: torch.dtype) -> torch.Tensor:
    """Matrices with positive determinant, well and badly conditioned."""
    generator = torch.Generator().manual_seed(7)
    left = geometry.quaternion_to_matrix(torch.randn(count, 4, generator=generator, dtype=torch.float64))
    right = geometry.quaternion_to_matrix(torch.randn(count, 4, generator=generator, dtype=torch.float64))
    values = 10 ** torch.empty(count, 3, dtype=torch.float64).uniform_(-3, 1, generator=generator)
    return (left * values[:, None, :] @ right).to(dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 2e-3)])
def test_polar_rotation_is_the_svds(dtype: torch.dtype, tolerance: float) -> None:
    matrices = blends(500, dtype)
    u, _, v = torch.linalg.svd(matrices.double())
    rotation = geometry.polar_rotation(matrices)
    torch.testing.assert_close(rotation.double(), u @ v, rtol=0, atol=tolerance)
    identity = torch.eye(3, dtype=dtype).expand(500, 3, 3)
    torch.testing.assert_close(rotation @ rotation.mT, identity, rtol=0, atol=max(tolerance / 1e3, 1e-12))


def test_polar_rotation_gradients() -> None:
    generator = torch.Generator().manual_seed(1)
    noise = 0.4 * torch.randn(12, 3, 3, generator=generator, dtype=torch.float64)
    matrices = torch.eye(3, dtype=torch.float64) + noise
    matrices = matrices[geometry.determinant(matrices) > 0.05]
    assert len(matrices) > 5
    assert torch.autograd.gradcheck(geometry.polar_rotation, (matrices.requires_grad_(),))


def test_polar_rotation_at_the_identity_and_of_nothing() -> None:
    identity = torch.eye(3)[None].requires_grad_()
    rotation = geometry.polar_rotation(identity)
    torch.testing.assert_close(rotation, identity)
    (gradient,) = torch.autograd.grad(rotation[0, 1, 0], identity)
    # a turn about z changes half the difference of the two entries
    torch.testing.assert_close(gradient[0, :2, :2], torch.tensor([[0.0, -0.5], [0.5, 0.0]]))
    empty = torch.zeros(2, 0, 3, 3, requires_grad=True)
    geometry.polar_rotation(empty).sum().backward()
    assert empty.grad is not None
    assert empty.grad.shape == (2, 0, 3, 3)


def test_largest_singular_value_is_that_of_the_svd() -> None:
    random = torch.Generator().manual_seed(5)
    matrices = torch.randn(200, 3, 3, generator=random, dtype=torch.float64)
    matrices[:20] = matrices[:20, :, :1] * matrices[:20, :1, :]  # of rank one
    matrices[20] = 0.0
    matrices[21] = 3.0 * torch.eye(3, dtype=torch.float64)  # three equal ones
    matrices[22] = -2.0 * geometry.axis_angle_to_matrix(matrices[22, 0])
    matrices[23] = torch.diag(torch.tensor([1e-9, 2.0, 2.0], dtype=torch.float64))
    found = geometry.largest_singular_value(matrices)
    # eigenvalues are found to rounding, so singular values that meet are found to its square root
    torch.testing.assert_close(found, torch.linalg.svdvals(matrices)[:, 0], rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(
        geometry.largest_singular_value(matrices.float()).double(), found, rtol=1e-3, atol=1e-6
    )


def test_the_third_axis_alone() -> None:
    quaternion = torch.randn(50, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    quaternion.requires_grad_()
    alone, whole = geometry.third_axis(quaternion), geometry.quaternion_to_matrix(quaternion)[..., 2]
    torch.testing.assert_close(alone, whole)
    upstream = torch.arange(150.0, dtype=torch.float64).reshape(50, 3)
    found, wanted = (torch.autograd.grad(value, quaternion, upstream)[0] for value in (alone, whole))
    torch.testing.assert_close(found, wanted)


def test_which_side_a_surfels_normal_is_on() -> None:
    """Turned about axes in its triangle's plane by more than a right angle; about the normal by any."""
    turns = [
        [0.0, 0.0, 3.0],
        [1.5, 0.0, 0.0],
        [0.0, -1.5, 0.0],
        [1.6, 0.0, 0.0],
        [0.0, 3.1, 0.0],
        [1.2, 1.2, 0.0],
    ]
    quaternion = geometry.axis_angle_to_quaternion(torch.tensor(turns))
    normal = torch.from_numpy(Rotation.from_rotvec(turns).as_matrix())[:, :, 2]
    wanted = [False, False, False, True, True, True]
    assert (normal[:, 2] < 0).tolist() == wanted
    for length in (1.0, 0.03, -7.0):
        assert geometry.looks_inward(length * quaternion).tolist() == wanted

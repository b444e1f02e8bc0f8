"""Spherical harmonics against SciPy's Legendre functions, quadrature and the known constants."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import lpmv

from surfhead.maths import harmonics


def independent(directions: np.ndarray, degree: int) -> np.ndarray:
    """Real harmonics from associated Legendre functions, which carry the Condon-Shortley phase."""
    x, y, z = directions.T
    azimuth = np.arctan2(y, x)
    columns = []
    for l in range(degree + 1):  # noqa: E741 - the field's name for the degree
        for m in range(-l, l + 1):
            k = abs(m)
            norm = math.sqrt((2 * l + 1) / (4 * math.pi) * math.factorial(l - k) / math.factorial(l + k))
            radial = norm * lpmv(k, l, z)
            turn = 1.0 if m == 0 else math.sqrt(2) * (np.cos(k * azimuth) if m > 0 else np.sin(k * azimuth))
            columns.append(radial * turn)
    return np.stack(columns, axis=-1)


def unit(count: int) -> torch.Tensor:
    directions = torch.randn(count, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return directions / directions.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_values_against_legendre_functions(degree: int) -> None:
    directions = unit(300)
    expected = torch.from_numpy(independent(directions.numpy(), degree))
    torch.testing.assert_close(harmonics.basis(directions, degree), expected, rtol=0, atol=1e-13)


def test_signs_and_order_of_splat_files() -> None:
    x, y, z = 0.48, 0.6, 0.64
    values = harmonics.basis(torch.tensor([x, y, z], dtype=torch.float64), 3).tolist()
    assert values[0] == pytest.approx(0.28209479177387814)
    assert values[1:4] == pytest.approx([-0.4886025119 * y, 0.4886025119 * z, -0.4886025119 * x])
    assert values[4] == pytest.approx(1.0925484306 * x * y)
    assert values[6] == pytest.approx(0.3153915653 * (2 * z * z - x * x - y * y))
    assert values[9] == pytest.approx(-0.5900435899 * y * (3 * x * x - y * y))
    assert values[12] == pytest.approx(0.3731763326 * z * (2 * z * z - 3 * x * x - 3 * y * y))


def test_orthonormal_on_the_sphere() -> None:
    # Gauss-Legendre in z times equal steps in azimuth integrates products up to degree 6 exactly
    z, weight = np.polynomial.legendre.leggauss(8)
    azimuth = 2 * math.pi * np.arange(16) / 16
    radius = np.sqrt(1 - z**2)
    grid = np.stack(
        [np.outer(radius, np.cos(azimuth)), np.outer(radius, np.sin(azimuth)), np.repeat(z[:, None], 16, 1)],
        -1,
    )
    values = harmonics.basis(torch.from_numpy(grid), 3).reshape(-1, 16)
    weights = torch.from_numpy(np.repeat(weight * 2 * math.pi / 16, 16))
    gram = values.mT @ (weights[:, None] * values)
    torch.testing.assert_close(gram, torch.eye(16, dtype=torch.float64), rtol=0, atol=1e-13)


def test_gradients() -> None:
    directions = unit(5).requires_grad_()
    assert torch.autograd.gradcheck(lambda d: harmonics.basis(d, 3), (directions,))


def test_sizes_and_refused_degrees() -> None:
    assert [harmonics.size(degree) for degree in range(4)] == [1, 4, 9, 16]
    assert harmonics.basis(torch.zeros(2, 0, 3), 2).shape == (2, 0, 9)
    with pytest.raises(ValueError, match="0 to 3"):
        harmonics.basis(torch.zeros(1, 3), 4)
    with pytest.raises(ValueError, match="is -1"):
        harmonics.size(-1)

"""Shading under distant light, and highlights of the same light, as functions of a unit vector.

Up to the second band a function of a unit vector v is a quadric, f(v) = c + b·v + vᵀ Q v (Ramamoorthi and
Hanrahan, "An Efficient Representation for Irradiance Environment Maps", SIGGRAPH 2001, equation 12), which
takes one small matrix product instead of nine harmonics.
"""

from __future__ import annotations

import torch
from torch import Tensor

from surfhead.core.api import harmonics, planes

QUADRIC = 13  # numbers a channel: c, b and Q by rows


def quadric_map() -> Tensor:
    """(13, 9) float32: from harmonic coefficients to the second degree to c, b and Q."""
    axes = torch.eye(3, dtype=torch.float64)
    rows = torch.zeros(QUADRIC, harmonics.size(2), dtype=torch.float64)
    single = harmonics.basis(axes, 2)
    rows[0, 0] = single[0, 0]
    rows[1:4, 1:4] = single[:, 1:4]
    for i in range(3):
        for j in range(3):
            # the second band is a homogeneous polynomial, so this holds for vectors of any length
            both = harmonics.basis(axes[i] + axes[j], 2)[4:]
            rows[4 + 3 * i + j, 4:] = 0.5 * (both - single[i, 4:] - single[j, 4:])
    return rows.float()


def quadric_values(numbers: Tensor, vectors: Tensor) -> Tensor:
    """(B, N, 3) f(v) a channel.

    Args:
        numbers: (13, 3) c, b and Q by rows, a column a channel.
        vectors: (B, N, 3) unit vectors.
    """
    x, y, z = planes.planes(vectors.reshape(-1, 3))
    terms = torch.stack((x, y, z, x * x, y * y, z * z, x * y, x * z, y * z))
    quadric = numbers[4:]  # symmetric: what is beside its diagonal counts twice
    # by slices, for a list as an index is copied to the device, which no CUDA graph can hold
    beside = torch.cat((quadric[1:3], quadric[5:6]))
    factors = torch.cat((numbers[1:4], quadric[0::4], 2.0 * beside))
    return torch.addmm(numbers[0][:, None], factors.T, terms).T.reshape(vectors.shape)

"""Real spherical harmonics to degree 3, in the order and with the signs of 3D Gaussian splatting files.

Order: degree l = 0, 1, 2, 3, and within a degree m = -l … l. Signs: with the Condon-Shortley phase, that
is Y_lm = √2 Im Y_l^|m| for m < 0 and √2 Re Y_l^m for m > 0 of the complex harmonics of quantum mechanics;
degree 1 is therefore (-y, z, -x) times √(3/4π). Orthonormal on the unit sphere.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from surfhead.maths.planes import from_planes, planes

MAX_DEGREE = 3

Y00 = 0.5 / math.sqrt(math.pi)
_Y1 = math.sqrt(3 / (4 * math.pi))
_Y2_PAIR = 0.5 * math.sqrt(15 / math.pi)  # xy, yz, xz
_Y2_ZZ = 0.25 * math.sqrt(5 / math.pi)
_Y2_XX = 0.25 * math.sqrt(15 / math.pi)
_Y3_3 = 0.25 * math.sqrt(35 / (2 * math.pi))
_Y3_XYZ = 0.5 * math.sqrt(105 / math.pi)
_Y3_1 = 0.25 * math.sqrt(21 / (2 * math.pi))
_Y3_0 = 0.25 * math.sqrt(7 / math.pi)
_Y3_2 = 0.25 * math.sqrt(105 / math.pi)


def size(degree: int) -> int:
    """Number of harmonics up to ``degree``. Raises ValueError outside 0 to 3."""
    if not 0 <= degree <= MAX_DEGREE:
        raise ValueError(f"The degree of spherical harmonics is {degree}, expected 0 to {MAX_DEGREE}.")
    return (degree + 1) ** 2


def basis(directions: Tensor, degree: int) -> Tensor:
    """The harmonics at unit vectors.

    Args:
        directions: (..., 3) unit vectors.
        degree: 0 to 3.

    Returns:
        (..., (degree + 1)²) values.

    Raises:
        ValueError: the degree is outside 0 to 3.
    """
    size(degree)
    x, y, z = planes(directions)
    values = [torch.full_like(x, Y00)]
    if degree >= 1:
        values += [-_Y1 * y, _Y1 * z, -_Y1 * x]
    if degree >= 2:
        xx, yy, zz, xy = x * x, y * y, z * z, x * y
        values += [
            _Y2_PAIR * xy,
            -_Y2_PAIR * (y * z),
            _Y2_ZZ * (2 * zz - xx - yy),
            -_Y2_PAIR * (x * z),
            _Y2_XX * (xx - yy),
        ]
    if degree >= 3:
        inner = 4 * zz - xx - yy
        values += [
            -_Y3_3 * y * (3 * xx - yy),
            _Y3_XYZ * xy * z,
            -_Y3_1 * y * inner,
            _Y3_0 * z * (2 * zz - 3 * xx - 3 * yy),
            -_Y3_1 * x * inner,
            _Y3_2 * z * (xx - yy),
            -_Y3_3 * x * (xx - 3 * yy),
        ]
    return from_planes(*values)

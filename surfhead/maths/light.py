"""Distant light as a value: its radiance as real spherical harmonics in the world.

Irradiance on a surface of normal n is the radiance convolved with the cosine lobe, band by band
(Ramamoorthi and Hanrahan, "An Efficient Representation for Irradiance Environment Maps", SIGGRAPH 2001, and
"On the relationship between radiance and irradiance", JOSA A 2001)::

    E(n) = sum_l A_l sum_m L_lm Y_lm(n),    A = π, 2π/3, π/4, 0  for l = 0, 1, 2, 3

*Shading* is E/π: what a white matte surface shows. Its mean over the sphere is L_00 Y_00 a channel. Bands
above the second add under 1 % to it, and the third adds nothing; highlights do feel the third.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from torch import Tensor

from surfhead.maths import harmonics

BANDS = (1.0, 2.0 / 3.0, 0.25, 0.0)
"""A_l / π of the clamped cosine, degree 0 to 3."""


def band_factors(factors: tuple[float, ...], degree: int) -> Tensor:
    """((degree + 1)², 1) float32: the factor of each coefficient's band."""
    rows = [factors[band] for band in range(degree + 1) for _ in range(2 * band + 1)]
    return torch.tensor(rows, dtype=torch.float32)[:, None]


@dataclass(frozen=True)
class Light:
    """Distant light.

    Attributes:
        coefficients: (K, 3) RGB radiance, harmonics in the order of ``harmonics``, K = (degree + 1)².
        name: what messages call it.

    Raises:
        ValueError: coefficients of another shape, or not finite.
    """

    coefficients: Tensor
    name: str = "light"

    def __post_init__(self) -> None:
        shape = tuple(self.coefficients.shape)
        if len(shape) != 2 or shape != (harmonics.size(self.degree), 3):
            raise ValueError(f"A light has coefficients (K, 3), K = 1, 4, 9 or 16, not {shape}.")
        if not bool(torch.isfinite(self.coefficients).all()):
            raise ValueError(f'The light "{self.name}" holds NaN or infinity.')

    @property
    def degree(self) -> int:
        """Highest degree of its harmonics."""
        return min(max(math.isqrt(len(self.coefficients)) - 1, 0), harmonics.MAX_DEGREE)

    @property
    def mean(self) -> Tensor:
        """(3,) mean shading over the sphere, which is its mean radiance."""
        return self.coefficients[0] * harmonics.Y00

    def radiance(self, directions: Tensor) -> Tensor:
        """(..., 3) what comes from unit ``directions`` (..., 3)."""
        return harmonics.basis(directions, self.degree) @ self.coefficients.to(directions)

    def shading(self, normals: Tensor) -> Tensor:
        """(..., 3) E(n)/π for unit ``normals`` (..., 3)."""
        factors = band_factors(BANDS, self.degree).to(normals)
        return harmonics.basis(normals, self.degree) @ (factors * self.coefficients.to(normals))

    def scaled(self, factor: float | Tensor) -> Light:
        """The same light, ``factor`` (a number or one a channel) times as strong."""
        return replace(self, coefficients=self.coefficients * factor)

    def normalised(self, coloured: bool = True) -> Light:
        """The same light with mean shading 1: in the mean of the channels, or, not ``coloured``, in each."""
        mean = self.mean.mean() if coloured else self.mean
        return self.scaled(1.0 / mean.clamp_min(1e-6))

    def up_to(self, degree: int) -> Light:
        """The same light, its harmonics cut to ``degree`` or filled with zeros."""
        made = self.coefficients.new_zeros(harmonics.size(degree), 3)
        kept = min(len(made), len(self.coefficients))
        made[:kept] = self.coefficients[:kept]
        return replace(self, coefficients=made)

    def turned(self, rotation: Tensor) -> Light:
        """The light carried round by a rotation (3, 3): what came from d comes from R d."""
        turn = harmonic_turn(rotation, self.degree).to(self.coefficients)
        return replace(self, coefficients=turn @ self.coefficients)

    def plus(self, other: Light) -> Light:
        """Both lights together, under this one's name."""
        degree = max(self.degree, other.degree)
        total = self.up_to(degree).coefficients + other.up_to(degree).coefficients.to(self.coefficients)
        return replace(self, coefficients=total)

    def mixed(self, other: Light, amount: float) -> Light:
        """Between this light (0) and another (1)."""
        degree = max(self.degree, other.degree)
        first, second = self.up_to(degree).coefficients, other.up_to(degree).coefficients
        return replace(self, coefficients=(1.0 - amount) * first + amount * second)


@cache
def _probes() -> Tensor:
    """(64, 3) float64 unit vectors spread over the sphere."""
    step = torch.arange(64, dtype=torch.float64) + 0.5
    height = 1.0 - 2.0 * step / 64
    turn = step * math.pi * (3.0 - math.sqrt(5.0))
    radius = (1.0 - height**2).sqrt()
    return torch.stack([radius * turn.cos(), radius * turn.sin(), height], dim=-1)


def harmonic_turn(rotation: Tensor, degree: int) -> Tensor:
    """(K, K) float64: coefficients of a function after it was carried round by ``rotation`` (3, 3).

    The turned function at d is the old one at Rᵀ d, whose harmonics are combinations within each band; these
    follow from 64 directions, exactly but for rounding.
    """
    probes = _probes()
    values = harmonics.basis(probes, degree)
    carried = harmonics.basis(probes @ rotation.to(probes), degree)
    turn: Tensor = torch.linalg.lstsq(values, carried).solution
    return turn


def about_up(degrees: float) -> Tensor:
    """(3, 3) the rotation about the world's up (+y) by ``degrees``, from +z (the face) towards +x."""
    angle = math.radians(degrees)
    cosine, sine = math.cos(angle), math.sin(angle)
    return torch.tensor([[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]], dtype=torch.float64)


def projected(function: np.ndarray, degree: int) -> np.ndarray:
    """(K, 3) harmonics of an equirectangular picture of the world, by summing over its pixels.

    Args:
        function: (H, W, 3) values at the pixels' centres; up (+y) is on top, the middle column looks along -z
            (what a camera before the face sees behind it), columns to the right look towards +x.
        degree: of the harmonics.
    """
    height, width = function.shape[:2]
    total = np.zeros((harmonics.size(degree), 3))
    area = 2.0 * math.pi / width
    edges = np.cos(math.pi * np.arange(height + 1) / height)
    for row, directions in enumerate(_rows(height, width)):
        values = harmonics.basis(torch.from_numpy(directions), degree).numpy()
        total += area * (edges[row] - edges[row + 1]) * (values.T @ function[row].astype(np.float64))
    return total


def _rows(height: int, width: int) -> np.ndarray:
    """(H, W, 3) float64 unit directions of an equirectangular picture's pixels."""
    polar = math.pi * (np.arange(height) + 0.5) / height
    azimuth = 2.0 * math.pi * ((np.arange(width) + 0.5) / width - 0.5)
    sine, cosine = np.sin(polar)[:, None], np.cos(polar)[:, None]
    flat = np.ones(width)
    return np.stack([sine * np.sin(azimuth), cosine * flat, -sine * np.cos(azimuth)], axis=-1)


def directions_of(height: int, width: int) -> Tensor:
    """(H, W, 3) float32 unit directions of an equirectangular picture's pixels; see ``projected``."""
    return torch.from_numpy(_rows(height, width)).float()

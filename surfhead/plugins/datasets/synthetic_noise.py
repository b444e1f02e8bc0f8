"""Smooth noise in space that is the same on every machine, for textures and relief."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def _hash(cell: NDArray[np.int64], seed: int) -> Array:
    """(...) numbers in [0, 1) from integer lattice cells (..., 3): a multiply-and-shift integer hash."""
    with np.errstate(over="ignore"):
        value = cell.astype(np.uint32) @ np.array([0x8DA6B343, 0xD8163841, 0xCB1AB31F], dtype=np.uint32)
        value = value + np.uint32((seed * 0x9E3779B9) & 0xFFFFFFFF)
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):
            value = (value ^ (value >> np.uint32(shift))) * np.uint32(factor)
    return value.astype(np.float64) / 2.0**32


def value_noise(points: Array, seed: int) -> Array:
    """Noise in [-1, 1] of points (..., 3) whose unit is the size of a blob.

    Random values on the integer lattice, interpolated trilinearly with a quintic weight.
    """
    cell = np.floor(points)
    t = points - cell
    weight = t * t * t * (t * (t * 6.0 - 15.0) + 10.0)
    base = cell.astype(np.int64)
    total = np.zeros(points.shape[:-1])
    for corner in np.ndindex(2, 2, 2):
        share = np.prod(np.where(np.array(corner, dtype=bool), weight, 1.0 - weight), axis=-1)
        total += share * _hash(base + np.array(corner), seed)
    return 2.0 * total - 1.0


def fractal_noise(points: Array, seed: int, octaves: int = 3) -> Array:
    """Octaves of ``value_noise``, each twice as fine and half as strong, within [-1, 1]."""
    total = np.zeros(points.shape[:-1])
    size = 0.0
    for octave in range(octaves):
        strength = 0.5**octave
        total += strength * value_noise(points * 2.0**octave, seed + 101 * octave)
        size += strength
    return total / size


def spots(points: Array, seed: int, radius: float) -> Array:
    """1 at the middle of scattered spots, falling to 0 at ``radius``: one at most in each lattice cell.

    Args:
        points: (..., 3), whose unit is the mean distance of the spots.
        seed: chooses the spots.
        radius: below 0.5.
    """
    base = np.floor(points).astype(np.int64)
    nearest = np.full(points.shape[:-1], np.inf)
    for offset in np.ndindex(3, 3, 3):
        cell = base + np.array(offset) - 1
        centre = cell + np.stack([_hash(cell, seed + k) for k in (1, 2, 3)], axis=-1)
        present = _hash(cell, seed + 4) < 0.6
        size = 0.45 + 0.55 * _hash(cell, seed + 5)
        distance = np.linalg.norm(points - centre, axis=-1) / size
        nearest = np.minimum(nearest, np.where(present, distance, np.inf))
    return np.clip(1.0 - nearest / radius, 0.0, 1.0)

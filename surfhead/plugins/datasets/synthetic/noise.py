"""Smooth noise in space that is the same on every machine, for textures and relief."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Cells = NDArray[np.uint32]


def _scramble(value: Cells) -> Array:
    """(...) numbers in [0, 1) from 32-bit integers: a multiply-and-shift integer hash."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        value = (value ^ (value >> np.uint32(shift))) * np.uint32(factor)
    return (value ^ (value >> np.uint32(16))).astype(np.float64) / 2.0**32


def _axis_keys(cell: NDArray[np.int64], seed: int) -> list[Cells]:
    """Three (...) integers whose sum, wrapped to 32 bits, names a lattice cell (..., 3)."""
    primes = (0x8DA6B343, 0xD8163841, 0xCB1AB31F)
    keys = [cell[..., axis].astype(np.uint32) * np.uint32(prime) for axis, prime in enumerate(primes)]
    keys[0] = keys[0] + np.uint32((seed * 0x9E3779B9) & 0xFFFFFFFF)
    return keys


def value_noise(points: Array, seed: int) -> Array:
    """Noise in [-1, 1] of points (..., 3) whose unit is the size of a blob.

    Random values on the integer lattice, interpolated trilinearly with a quintic weight.
    """
    cell = np.floor(points)
    t = points - cell
    weight = t * t * t * (t * (t * 6.0 - 15.0) + 10.0)
    base = cell.astype(np.int64)
    low, high = _axis_keys(base, seed), _axis_keys(base + 1, seed)
    # The seed is part of the first axis' key, on both sides alike.
    total = np.zeros(points.shape[:-1])
    for i, j, k in np.ndindex(2, 2, 2):
        share = weight[..., 0] if i else 1.0 - weight[..., 0]
        share = share * (weight[..., 1] if j else 1.0 - weight[..., 1])
        share = share * (weight[..., 2] if k else 1.0 - weight[..., 2])
        key = (high if i else low)[0] + (high if j else low)[1] + (high if k else low)[2]
        total += share * _scramble(key)
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
        x, y, z = _axis_keys(cell, seed)
        key = x + y + z
        distance = np.zeros(points.shape[:-1])
        for axis in range(3):
            centre = cell[..., axis] + _scramble(key ^ np.uint32(0x1000193 * (axis + 1)))
            distance += (points[..., axis] - centre) ** 2
        chance = _scramble(key ^ np.uint32(0x5BD1E995))
        # Six cells in ten hold a spot; the same number gives its size.
        size = np.where(chance < 0.6, 0.45 + 0.55 * chance / 0.6, 1e-9)
        nearest = np.minimum(nearest, np.sqrt(distance) / size)
    return np.clip(1.0 - nearest / radius, 0.0, 1.0)

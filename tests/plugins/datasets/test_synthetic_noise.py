"""Tests of the noise behind texture and relief."""

from __future__ import annotations

import numpy as np

from surfhead.plugins.datasets.synthetic.noise import fractal_noise, spots, value_noise


def points(count: int = 4000) -> np.ndarray:
    return np.random.default_rng(0).uniform(-20, 20, (count, 3))


def test_noise_is_bounded_balanced_and_depends_on_the_seed():
    for noise in (value_noise(points(), 3), fractal_noise(points(), 3)):
        assert np.abs(noise).max() <= 1.0
        assert abs(noise.mean()) < 0.05
        assert noise.std() > 0.2
    assert np.corrcoef(value_noise(points(), 3), value_noise(points(), 4))[0, 1] < 0.1


def test_noise_is_smooth_and_equal_on_lattice_corners_from_both_sides():
    corner = np.array([[3.0, -2.0, 5.0]])
    either = value_noise(corner + 1e-9, 1), value_noise(corner - 1e-9, 1)
    assert np.allclose(*either, atol=1e-6)
    step = np.abs(value_noise(points() + 1e-4, 1) - value_noise(points(), 1))
    assert step.max() < 2e-3


def test_noise_is_the_same_on_every_machine():
    # Values of the first run, to catch a change of the hash.
    found = value_noise(np.array([[0.5, 0.5, 0.5], [-7.25, 3.0, 100.125]]), 7)
    assert np.allclose(found, [-0.13732608302962, 0.144457658269494], atol=1e-12)


def test_spots_are_scattered_and_small():
    found = spots(points(20000), 2, 0.3)
    assert found.min() == 0.0
    assert found.max() > 0.9
    assert 0.01 < (found > 0).mean() < 0.1
    assert np.array_equal(spots(points(), 2, 0.3), spots(points(), 2, 0.3))

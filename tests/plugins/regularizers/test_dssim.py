"""One minus the structural similarity."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from surfhead.plugins.regularizers.dssim import Dssim
from surfhead.testing import steps


def test_a_picture_of_one_pixel_by_hand() -> None:
    step = steps.random_step()
    line = [math.exp(-(i**2) / (2 * 1.5**2)) for i in range(-5, 6)]
    weight = (1 / sum(line)) ** 2  # of the window's centre; all else is zero padding
    x, y, c1, c2 = 0.5, 0.2, 0.01**2, 0.03**2
    mu, nu = weight * x, weight * y
    spread = weight - weight**2
    luminance = (2 * mu * nu + c1) / (mu**2 + nu**2 + c1)
    structure = (2 * spread * x * y + c2) / (spread * (x**2 + y**2) + c2)
    batch = replace(step.batch, image=torch.full((1, 1, 1, 3), 51, dtype=torch.uint8))
    output = replace(step.output, rgb=torch.full((1, 1, 1, 3), x))
    value = Dssim()(replace(step, batch=batch, output=output))
    assert value.item() == pytest.approx(1 - luminance * structure, abs=1e-5)


def test_descending_it_brings_the_picture_closer() -> None:
    step = steps.random_step()
    term = Dssim()
    first = term(step)
    first.backward()
    assert step.output.rgb.grad is not None
    moved = step.output.rgb.detach() - 50.0 * step.output.rgb.grad
    assert term(replace(step, output=replace(step.output, rgb=moved))) < 0.9 * first

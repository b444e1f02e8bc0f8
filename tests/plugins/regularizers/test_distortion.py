"""The mean distortion."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from surfhead.plugins.regularizers.distortion import Distortion
from surfhead.testing import steps


def test_it_is_the_mean_of_the_map() -> None:
    step = steps.perfect_step()
    distortion = torch.zeros(2, steps.HEIGHT, steps.WIDTH)
    distortion[0, 3, 4] = 0.28
    step = replace(step, output=replace(step.output, distortion=distortion))
    assert Distortion()(step).item() == pytest.approx(0.28 / (2 * steps.HEIGHT * steps.WIDTH))


def test_rounding_below_zero_counts_as_zero() -> None:
    step = steps.perfect_step()
    step = replace(step, output=replace(step.output, distortion=torch.full((2, 4, 4), -1e-8)))
    assert Distortion()(step).item() == 0.0


def test_the_published_weight_and_start() -> None:
    assert (Distortion.weight, Distortion.start) == (100.0, 0.1)

"""Schedules counted in images, and starting values."""

from __future__ import annotations

import math

import pytest
import torch

from surfhead.core.errors import OptionError
from surfhead.core.parameters import ParameterSpec, Schedule


def test_a_constant_rate_stays() -> None:
    assert [Schedule(0.05).at(images, 1000) for images in (0, 500, 1000, 5000)] == [0.05] * 4


def test_decay_is_log_linear_and_ends_at_the_end() -> None:
    schedule = Schedule(1e-2, 1e-4)
    assert schedule.at(0, 1000) == pytest.approx(1e-2)
    assert schedule.at(500, 1000) == pytest.approx(1e-3)
    assert schedule.at(1000, 1000) == pytest.approx(1e-4)
    assert schedule.at(2000, 1000) == pytest.approx(1e-4)


def test_its_own_length_overrides_the_runs() -> None:
    assert Schedule(1e-2, 1e-4, steps=100).at(50, 1_000_000) == pytest.approx(1e-3)


def test_a_decay_to_zero_is_linear() -> None:
    assert Schedule(1.0, 0.0).at(250, 1000) == pytest.approx(0.75)
    assert Schedule(1.0, 0.0).at(1000, 1000) == 0.0


def test_a_rate_of_zero_is_zero_for_ever() -> None:
    assert Schedule(0.0, 1e-3).at(10, 100) == 0.0


def test_the_delay_rises_along_a_quarter_sine() -> None:
    schedule = Schedule(1.0, delay=0.1, delay_steps=100)
    assert schedule.at(0, 1000) == pytest.approx(0.1)
    assert schedule.at(50, 1000) == pytest.approx(0.1 + 0.9 * math.sin(math.pi / 4))
    assert schedule.at(100, 1000) == pytest.approx(1.0)
    assert schedule.at(900, 1000) == pytest.approx(1.0)
    assert Schedule(1.0, 0.01, delay=0.1, delay_steps=100).at(0, 1000) == pytest.approx(0.1)


def test_a_run_of_no_images_divides_by_nothing() -> None:
    assert Schedule(1e-2, 1e-4).at(0, 0) == pytest.approx(1e-2)


@pytest.mark.parametrize("rates", [(-1.0, None), (1.0, -1e-3)])
def test_negative_rates_are_refused(rates: tuple[float, float | None]) -> None:
    with pytest.raises(OptionError, match="negative"):
        Schedule(*rates)


def test_starting_values_are_numbers_tuples_or_drawn() -> None:
    generator = torch.Generator().manual_seed(0)
    rate = Schedule(1e-3)
    assert ParameterSpec((), 0.5, rate).start(3, generator).tolist() == [0.5] * 3
    value = ParameterSpec((4,), (1.0, 0.0, 0.0, 0.0), rate).start(2, generator)
    assert value.tolist() == [[1.0, 0.0, 0.0, 0.0]] * 2
    value[0, 0] = 7.0  # rows are not views of one another
    assert value[1, 0] == 1.0
    drawn = ParameterSpec((2,), lambda count, g: torch.randn(count, 2, generator=g), rate)
    first = drawn.start(5, torch.Generator().manual_seed(1))
    assert torch.equal(first, drawn.start(5, torch.Generator().manual_seed(1)))
    assert first.std() > 0
    assert ParameterSpec((15, 3), 0.0, rate).start(0, generator).shape == (0, 15, 3)

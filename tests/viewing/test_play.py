"""Play: timesteps by the clock, round and round."""

from __future__ import annotations

import pytest

from surfhead.viewing.play import TimelinePlay
from surfhead.viewing.shot import Shot
from surfhead.viewing.viewpoint import Viewpoint

SHOT = Shot(Viewpoint((0.0, 0.0, 1.0), (1.0, 0.0, 0.0, 0.0), 0.5))


def test_timesteps_follow_the_rate_and_begin_again() -> None:
    play = TimelinePlay(5.0, 25.0, first=7, length=10)
    steps = [play.at(5.0 + 0.04 * index, SHOT).stance.timestep for index in range(12)]
    assert steps == [7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8]


def test_the_next_timestep_is_awaited() -> None:
    play = TimelinePlay(5.0, 10.0, length=10)
    assert play.next_in(5.0) == pytest.approx(0.1)
    assert play.next_in(5.17) == pytest.approx(0.03)

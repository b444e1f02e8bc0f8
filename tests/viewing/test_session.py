"""Sessions: small pictures in motion, the full one at rest, and no picture that nobody needs."""

from __future__ import annotations

from dataclasses import replace

from surfhead.viewing.play import TimelinePlay
from surfhead.viewing.session import COARSE, SMALLEST, STILL, Session
from surfhead.viewing.shot import Request, Shot
from surfhead.viewing.viewpoint import Viewpoint

FRONT = Viewpoint((0.0, 0.0, 1.0), (1.0, 0.0, 0.0, 0.0), 0.5)


def session(size: int = 512) -> Session:
    return Session(Shot(FRONT), size, moving_seconds=0.1)


def draw(made: Session, request: Request | None, seconds: float = 0.05) -> Request:
    assert request is not None
    made.finished(request, request.longest**2, seconds)
    return request


def test_a_new_page_gets_the_full_picture_and_then_nothing() -> None:
    made = session()
    request = draw(made, made.wanted(10.0))
    assert (request.full, request.longest) == (True, 512)
    assert made.wanted(11.0) is None
    assert made.rests_in(11.0) is None


def test_motion_is_drawn_small_and_rest_in_full() -> None:
    made = session()
    draw(made, made.wanted(10.0), seconds=1.0)  # 1 s for 512 x 512
    made.change(11.0, channel="normal")
    moving = draw(made, made.wanted(11.01), seconds=0.1)
    assert not moving.full
    assert moving.shot.channel == "normal"
    assert moving.longest == int((0.1 * 512 * 512) ** 0.5) // COARSE * COARSE == 160  # what 0.1 s suffice for
    assert made.wanted(11.02) is None  # the same shot, still in motion
    assert made.rests_in(11.02) == 11.0 + STILL - 11.02
    still = draw(made, made.wanted(11.0 + STILL))
    assert (still.full, still.longest) == (True, 512)
    assert made.wanted(12.0) is None


def test_a_large_window_gets_a_smaller_picture_first_and_then_its_own_resolution() -> None:
    made = session(2048)
    made.resize(9.0, aspect=1.0, window=1600)
    first = draw(made, made.wanted(10.0), seconds=0.256)  # nothing is known yet; 1 s for a million pixels
    assert (first.full, first.longest) == (False, 512)
    assert made.rests_in(10.1) == 0.0
    full = draw(made, made.wanted(10.1), seconds=2.56)
    assert (full.full, full.longest) == (True, 1600)
    assert made.wanted(11.0) is None
    made.touch()
    again = draw(made, made.wanted(12.0), seconds=0.4)
    assert again.longest == int((0.4 * 1e6) ** 0.5) // COARSE * COARSE
    assert draw(made, made.wanted(12.1)).longest == 1600
    made.resize(13.0, window=300)
    assert draw(made, made.wanted(14.0)).longest == 300
    made.resize(15.0, window=5000)
    assert made.full_size == 2048


def test_states_between_two_pictures_are_dropped() -> None:
    made = session()
    draw(made, made.wanted(10.0))
    for step in range(20):
        made.change(11.0 + 0.001 * step, opacity_scale=0.01 * step)
    request = draw(made, made.wanted(11.02))
    assert request.shot.opacity_scale == 0.19
    assert made.wanted(11.03) is None


def test_a_change_while_a_picture_is_drawn_is_not_lost() -> None:
    made = session()
    request = made.wanted(10.0)
    made.change(10.1, channel="depth")
    draw(made, request)
    after = made.wanted(10.1 + STILL)
    assert after is not None
    assert (after.shot.channel, after.full) == ("depth", True)


def test_setting_what_is_set_draws_nothing() -> None:
    made = session()
    draw(made, made.wanted(10.0))
    made.change(11.0, channel="rgb")
    made.resize(11.0, aspect=1.0)
    assert made.wanted(11.5) is None


def test_touching_draws_the_same_shot_again_in_full() -> None:
    made = session()
    draw(made, made.wanted(10.0))
    made.touch()
    again = made.wanted(11.0)
    assert again is not None
    assert (again.full, again.shot) == (True, made.shot)


def test_fast_machines_move_in_full_size_and_slow_ones_never_below_the_smallest() -> None:
    fast, slow = session(), session()
    draw(fast, fast.wanted(10.0), seconds=0.001)
    draw(slow, slow.wanted(10.0), seconds=1000.0)
    for made in (fast, slow):
        made.change(11.0, channel="alpha")
    moving = draw(fast, fast.wanted(11.0))
    assert (moving.longest, moving.full) == (512, True)
    assert fast.wanted(11.0 + STILL) is None  # it was full already
    assert draw(slow, slow.wanted(11.0)).longest == SMALLEST


def test_a_timeline_plays_by_the_clock() -> None:
    made = session()
    draw(made, made.wanted(10.0), seconds=1.0)
    made.start(TimelinePlay(11.0, 10.0, first=3, length=5))
    shown = []
    for now in (11.0, 11.05, 11.1, 11.35, 11.72):
        request = made.wanted(now)
        shown.append(None if request is None else draw(made, request).shot.stance.timestep)
    assert shown == [3, None, 4, 1, 0]
    made.start(None)
    at_rest = draw(made, made.wanted(12.5))
    assert (at_rest.full, at_rest.shot.stance.timestep) == (True, 0)


def test_every_change_wakes_whoever_draws() -> None:
    calls = []
    made = Session(Shot(FRONT), 64, wake=lambda: calls.append(1))
    made.change(1.0, channel="alpha")
    made.resize(1.0, size=128)
    made.touch()
    made.start(None)
    assert len(calls) == 4
    assert made.shot == replace(Shot(FRONT), channel="alpha")

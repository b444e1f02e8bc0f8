"""The streamer serves all pages in turn, outlives those that fail or leave, and rests when nobody looks."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from surfhead.core.errors import OptionError, SurfheadError
from surfhead.viewing.pace import Pace
from surfhead.viewing.session import Session
from surfhead.viewing.shot import Request, Shot
from surfhead.viewing.streamer import Streamer
from surfhead.viewing.viewpoint import Viewpoint

SHOT = Shot(Viewpoint((0.0, 0.0, 1.0), (1.0, 0.0, 0.0, 0.0), 0.5))


class Page:
    """Keeps what it gets."""

    def __init__(self, name: str = "rgb") -> None:
        self.session = Session(replace(SHOT, channel=name), 8)
        self.shown: list[str] = []
        self.errors: list[Exception] = []
        self.gone = False

    def show(self, pixels: np.ndarray, request: Request) -> None:
        if self.gone:
            raise ConnectionError
        self.shown.append(request.shot.channel)

    def failed(self, error: Exception) -> None:
        self.errors.append(error)


def draw(request: Request) -> np.ndarray:
    if request.shot.channel == "wrong":
        raise OptionError("It cannot be drawn.")
    return np.zeros((8, 8, 3), np.uint8)


def test_pages_take_turns() -> None:
    streamer, pages = Streamer(draw), [Page("a"), Page("b"), Page("c")]
    for page in pages:
        streamer.add(page)
    order = ""
    for _ in range(6):
        for page in pages:  # all always want more
            page.session.touch()
        assert streamer.step()
        order += "".join(page.shown.pop() for page in pages if page.shown)
    assert order == "abcabc"


def test_nothing_is_drawn_without_a_page() -> None:
    drawn = []
    streamer = Streamer(lambda request: drawn.append(request) or draw(request))
    assert not streamer.step()
    assert not streamer.step_within(Pace(0.5))
    assert drawn == []


def test_a_page_that_left_is_forgotten_and_the_others_go_on() -> None:
    streamer, stays, leaves = Streamer(draw), Page(), Page()
    streamer.add(leaves)
    streamer.add(stays)
    leaves.gone = True
    assert streamer.step()
    assert len(streamer) == 1
    assert streamer.step()
    assert stays.shown == ["rgb"]
    streamer.remove(leaves)  # once more is no error


def test_what_cannot_be_drawn_is_told_once_to_the_page_that_asked() -> None:
    streamer, right, wrong = Streamer(draw), Page(), Page("wrong")
    streamer.add(wrong)
    streamer.add(right)
    while streamer.step():
        pass
    assert [str(error) for error in wrong.errors] == ["It cannot be drawn."]
    assert right.shown == ["rgb"]
    assert len(streamer) == 2


def test_the_pace_is_kept() -> None:
    now = [0.0]

    def slow(request: Request) -> np.ndarray:
        now[0] += 0.1
        return draw(request)

    streamer, page, pace = Streamer(slow, clock=lambda: now[0]), Page(), Pace(0.1)
    streamer.add(page)
    began = []
    while now[0] < 10.0:
        page.session.touch()
        before = now[0]
        if streamer.step_within(pace):
            began.append(before)
        now[0] += 0.02
    assert min(second - first for first, second in itertools.pairwise(began)) >= 1.0 - 1e-9
    assert 9 <= len(began) <= 10


@pytest.mark.parametrize("times", [3])
def test_the_thread_draws_changes_soon_and_stops(times: int) -> None:
    streamer, page = Streamer(draw), Page()
    streamer.add(page)
    page.session = Session(SHOT, 8, wake=streamer.wake)
    streamer.start()
    try:
        for index in range(times):
            count = len(page.shown)
            page.session.change(streamer.clock(), opacity_scale=0.1 * index + 0.2)
            ends = time.monotonic() + 300
            while len(page.shown) == count and time.monotonic() < ends:
                time.sleep(0.005)
            assert len(page.shown) > count
    finally:
        streamer.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "viewer"]


def test_questions_are_answered_in_the_thread_that_draws() -> None:
    streamer = Streamer(draw)
    streamer.start()
    try:
        assert streamer.ask(lambda: threading.current_thread().name) == "viewer"
        with pytest.raises(OptionError, match="cannot be drawn"):
            streamer.ask(lambda: draw(Request(replace(SHOT, channel="wrong"), 1.0, 8, True, 1)))
    finally:
        streamer.close()


def test_a_question_that_nobody_answers_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("surfhead.viewing.streamer.PATIENCE", 0.01)
    streamer = Streamer(draw)
    with pytest.raises(SurfheadError, match="busy or closing"):
        streamer.ask(lambda: 1)
    assert streamer.waiting

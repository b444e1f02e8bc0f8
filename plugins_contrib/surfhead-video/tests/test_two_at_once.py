"""Results come in order, things are taken as they are needed, and errors reach whoever asks."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from surfhead_video import two_at_once
from surfhead_video.two_at_once import mapped


def test_results_come_in_order_from_more_than_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(two_at_once, "THREADS", 2)
    meeting = threading.Barrier(2, timeout=30)  # passes only where two work at once

    def work(number: int) -> int:
        meeting.wait()
        return number * number

    assert list(mapped(work, range(8))) == [number * number for number in range(8)]


def test_few_things_are_held_and_errors_are_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(two_at_once, "THREADS", 2)
    taken: list[int] = []

    def things() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    made = mapped(lambda number: 1 // (3 - number), things())
    assert [next(made), next(made), next(made)] == [0, 0, 1]
    assert len(taken) <= 6
    with pytest.raises(ZeroDivisionError):
        next(made)

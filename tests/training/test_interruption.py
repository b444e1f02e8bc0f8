"""What counts as a request to end, and who knows of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from surfhead.training import interruption
from surfhead.training.interruption import SAME, Interruption
from surfhead.training.ranks import Ranks


def ends(number: int = signal.SIGINT) -> bool:
    """Send this process a signal; whether that ends it at once."""
    try:
        os.kill(os.getpid(), number)
    except KeyboardInterrupt:  # which would end the tests
        return True
    return False


class Pair(Ranks):
    """Of two processes, the other of which says what it is told to."""

    other = False
    asked_meanwhile = False

    def any(self, flag: bool) -> bool:
        if self.asked_meanwhile:
            assert not ends()
        return flag or self.other


class Clock:
    """In place of the machine's."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(interruption, "monotonic", made)
    return made


@pytest.fixture
def pair() -> Iterator[tuple[Pair, Interruption]]:
    ranks = Pair(count=2)
    found = Interruption(ranks)
    restore = found.catch()
    yield ranks, found
    restore()


@pytest.mark.parametrize("numbers", [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGINT)])
def test_one_alone(numbers: tuple[int, int], clock: Clock) -> None:
    """Signals that come together are one request; a later one ends at once."""
    found = Interruption()
    restore = found.catch()
    try:
        assert not found.agreed()
        assert not ends(numbers[0])
        assert found.asked
        assert found.agreed()
        clock.now += SAME
        assert not ends(numbers[1])
        clock.now += 0.5
        assert ends(numbers[1])
        assert not found.alone, "its own checkpoint needs nobody else"
    finally:
        restore()


def test_a_second_request_parts_those_that_train_together(
    pair: tuple[Pair, Interruption], clock: Clock
) -> None:
    _, found = pair
    assert not ends()
    clock.now += SAME
    assert not ends()
    assert not found.alone
    clock.now += 0.5
    assert ends()
    assert found.alone


def test_what_comes_with_the_answer_is_told_the_next_time(pair: tuple[Pair, Interruption]) -> None:
    ranks, found = pair
    object.__setattr__(ranks, "asked_meanwhile", True)
    assert not found.agreed(), "the others have heard no"
    object.__setattr__(ranks, "asked_meanwhile", False)
    assert found.agreed()


def test_the_others_request_is_not_this_ones_first(pair: tuple[Pair, Interruption], clock: Clock) -> None:
    ranks, found = pair
    object.__setattr__(ranks, "other", True)
    assert found.agreed()
    assert found.asked
    clock.now += 10.0 * SAME
    assert not ends()  # torchrun tells the processes one after the other
    assert not found.alone

"""Bars: where they are shown, what they say, and that nothing of them stays."""

from __future__ import annotations

import io
import os
import sys
import threading
from typing import Any

import pytest
from rich.console import Console

from surfhead.terminal import bars
from surfhead.terminal.console import be_quiet, say
from tests.terminal.screen import Screen


class Terminal(io.StringIO):
    """Standard error of a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal of 100 columns in place of standard error; pytest puts its own there before a test."""
    made = Terminal()
    monkeypatch.setattr(sys, "stderr", made)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("COLUMNS", raising=False)
    resize(monkeypatch, 100)
    return made


def resize(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """Make the terminal so wide."""
    monkeypatch.setattr("rich.console.os.get_terminal_size", lambda *_: os.terminal_size((width, 50)))


def line(width: int, **facts: Any) -> str:
    console = Console(width=width, file=io.StringIO(), markup=False, emoji=False)
    made = bars.Line("Measuring the validation split", 48)
    for name, value in facts.items():
        setattr(made, name, value)
    with console.capture() as said:
        console.print(made)
    return said.get().rstrip("\n")


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_a_line_fits_with_its_bar_and_the_time_left(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bars.time, "monotonic", lambda: 110.0)
    said = line(width, done=12, began=100.0)
    assert said.startswith("Measuring the validation split  ")
    assert said.endswith("  12/48  0:30 left")
    assert len(said) <= min(width - 1, bars.WIDEST)


def test_a_line_too_long_keeps_whole_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bars.time, "monotonic", lambda: 110.0)
    assert line(30, done=12, began=100.0) == "Measuring the validation ..."


def test_steps_pass_through_and_the_bar_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    screen = Screen(100)
    seen = []
    for step in bars.watched("abc", "Drawing", 3):
        bars.redraw()
        screen.feed(terminal.getvalue()[len("".join(seen)) :])
        seen = [terminal.getvalue()]
        if step == "c":
            assert len(screen.text) == 1
            assert screen.text[0].startswith("Drawing  ━")
            assert "  2/3" in screen.text[0]
    screen.feed(terminal.getvalue()[len(seen[0]) :])
    assert screen.text == []


def test_a_bar_takes_the_place_of_what_was_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    bars.waiting("Loading")
    with bars.progress("Drawing", 4):
        assert [type(part).__name__ for part in bars._Display.parts] == ["Line"]
    assert bars._Display.live is None
    assert "Loading" in terminal.getvalue()


def test_bars_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    with bars.progress("Runs", 4), bars.progress("Views", 8):
        bars.redraw()
        screen = Screen(100)
        screen.feed(terminal.getvalue())
        assert [row.split()[0] for row in screen.text] == ["Runs", "Views"], repr(terminal.getvalue())


@pytest.mark.parametrize("width", [90, 76, 60, 45, 20])
def test_nothing_stale_stays_when_the_terminal_is_made_narrower(
    monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    terminal = on_terminal(monkeypatch)
    screen = Screen(100)
    screen.feed("said before\n")
    with bars.progress("Measuring the validation split of the data", 4), bars.progress("Views", 8):
        bars.redraw()
        screen.feed(terminal.getvalue())
        known = len(terminal.getvalue())
        screen.resize(width)
        resize(monkeypatch, width)
        bars.redraw()
        screen.feed(terminal.getvalue()[known:])
        known = len(terminal.getvalue())
        assert screen.text[0] == "said before"
        assert len(screen.text) == 3, screen.text
    screen.feed(terminal.getvalue()[known:])
    assert screen.text == ["said before"]


def test_outside_a_terminal_and_when_quiet_nothing_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = on_terminal(monkeypatch)
    be_quiet(True)
    try:
        assert list(bars.watched([1, 2], "Drawing", 2)) == [1, 2]
        bars.waiting("Loading")
    finally:
        be_quiet(False)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert list(bars.watched([1, 2], "Drawing", 2)) == [1, 2]
    assert terminal.getvalue() == ""
    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]


def test_what_is_said_meanwhile_stands_above(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    monkeypatch.setattr(sys, "stdout", terminal)
    with bars.progress("Drawing", 4):
        say("said meanwhile")
        screen = Screen(100)
        screen.feed(terminal.getvalue())
        assert screen.text[0] == "said meanwhile"
        assert screen.text[1].startswith("Drawing")


def test_others_are_asked_how_much_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    monkeypatch.setattr(bars, "POLL", 0.001)
    asked = threading.Event()

    def look() -> float:
        asked.set()
        return 1.5

    with bars.polled(look, "Training", 3, " runs"):
        assert asked.wait(300.0)
    assert "0/3 runs" in terminal.getvalue()

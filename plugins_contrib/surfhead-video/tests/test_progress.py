"""Stages show one bar at a time, by the door of surfhead's own bars, so that nothing is drawn over them."""

from __future__ import annotations

import io
import sys

import pytest
from surfhead_video.progress import stages

from surfhead.terminal import bars
from surfhead.terminal.waited import end_waiting


class Terminal(io.StringIO):
    """Says that it is one."""

    def isatty(self) -> bool:
        return True


def shown() -> list[str]:
    return [getattr(part, "what", "") for part in bars._Display.parts]


def test_bars_end_the_line_that_says_what_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    bars.waiting("surfhead train: loading PyTorch")
    try:
        with stages("Tracking me.mp4", None) as report:
            assert shown() == ["Tracking me.mp4"]
            report("Landmarks", 1, 8)
            assert shown() == ["Landmarks"]
            report("Landmarks", 3, 9)
            line = bars._Display.parts[0]
            assert isinstance(line, bars.Line)
            assert (line.done, line.count) == (3, 9)
            report("Fit", 1, 4)
            assert shown() == ["Fit"]
        assert shown() == []
        with pytest.raises(ValueError), stages("Tracking me.mp4", None):
            raise ValueError
        assert shown() == []
    finally:
        end_waiting()


def test_elsewhere_one_line_is_said_and_nothing_where_all_is_to_be_quiet(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from surfhead.terminal.console import silence

    with stages("Tracking me.mp4", None) as report:
        report("Landmarks", 1, 8)
    assert capsys.readouterr().err == "Tracking me.mp4, once.\n"
    with silence(), stages("Tracking me.mp4", None) as report:
        report("Landmarks", 1, 8)
    assert capsys.readouterr().err == ""

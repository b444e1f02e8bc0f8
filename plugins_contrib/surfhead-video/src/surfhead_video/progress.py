"""A progress bar for every stage of tracking and refining, on a terminal; elsewhere one line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from surfhead.terminal import bars
from surfhead.terminal.console import is_quiet
from surfhead.terminal.waited import end_waiting
from surfhead_video.tracking import Report


@contextmanager
def stages(what: str, given: Report | None) -> Iterator[Report]:
    """Where stages are reported to: ``given``, or bars, each of which goes when the next stage begins.

    Args:
        what: is done, such as ``Tracking me.mp4``.
        given: called with the stage, what is done and what there is.
    """
    if given is not None:
        yield given
        return
    if not bars.visible():
        end_waiting()
        if not is_quiet():
            print(f"{what}, once.", file=sys.stderr)
        yield lambda stage, done, total: None
        return
    line: bars.Line | None = None

    def report(stage: str, done: int, total: int) -> None:
        nonlocal line
        if line is None or line.what != stage:
            end_waiting()
            if line is not None:
                bars.hide(line)
            line = bars.Line(stage, total)
            bars.show(line)
        line.done, line.count = done, total

    bars.waiting(what)  # until models are loaded; it takes the place of what the command waited for
    try:
        yield report
    finally:
        end_waiting()
        if line is not None:
            bars.hide(line)

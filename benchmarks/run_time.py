"""Where the time of a whole run goes: data, baseline, training, evaluations, checkpoints, the rest.

    python -m benchmarks.run_time [arguments of `surfhead train`]

Trains as the command does and prints a Markdown table of wall and processor seconds of each phase, how often
it came, and its share of the wall time. On a busy machine compare the seconds of the processor, on a GPU
those of the wall. Data that are drawn or converted once and kept count where they are made: empty the cache.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from surfhead.cli import main as surfhead
from surfhead.runs import train as runs
from surfhead.training import monitoring, trainer


@dataclass
class Phase:
    """Seconds of what belongs to it, without what is inside and belongs to another."""

    wall: float = 0.0
    processor: float = 0.0
    times: int = 0


class Clock:
    """Phases, one inside the other."""

    def __init__(self) -> None:
        self.phases: dict[str, Phase] = {}
        self._running: list[str] = []
        self._since = (time.perf_counter(), time.process_time())

    def _turn(self) -> None:
        """Book what has passed since the last time for the innermost phase."""
        now = (time.perf_counter(), time.process_time())
        if self._running:
            phase = self.phases[self._running[-1]]
            phase.wall += now[0] - self._since[0]
            phase.processor += now[1] - self._since[1]
        self._since = now

    def measured(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """The same work, its time booked for a phase."""

        @functools.wraps(work)
        def measure(*arguments: Any, **named: Any) -> Any:
            self._turn()
            self._running.append(name)
            self.phases.setdefault(name, Phase()).times += 1
            try:
                return work(*arguments, **named)
            finally:
                self._turn()
                self._running.pop()

        return measure

    def table(self) -> str:
        """The phases as Markdown."""
        whole = sum(phase.wall for phase in self.phases.values())
        rows = ["| phase | times | wall, s | processor, s | share of the wall |", "|---|---|---|---|---|"]
        rows += [
            f"| {name} | {p.times} | {p.wall:.1f} | {p.processor:.1f} | {p.wall / whole:.1%} |"
            for name, p in self.phases.items()
        ]
        return "\n".join(rows)


def main() -> int:
    """Train, and print the table."""
    clock = Clock()
    for owner, attribute, name in (
        (runs, "open_scene", "data drawn or opened"),
        (runs, "make_trainer", "avatar and first colours"),
        (trainer.Trainer, "step", "training steps"),
        (trainer.Trainer, "save", "checkpoints"),
        (trainer, "finish", "tying at the end"),
        (monitoring, "evaluate", "evaluations"),
        (monitoring, "evaluate_baseline", "the bare mesh"),
    ):
        setattr(owner, attribute, clock.measured(name, getattr(owner, attribute)))
    code = clock.measured("the rest", surfhead)(["train", *sys.argv[1:]])
    print(clock.table())
    return int(code)


if __name__ == "__main__":
    sys.exit(main())

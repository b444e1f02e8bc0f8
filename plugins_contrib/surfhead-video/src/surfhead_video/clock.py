"""Wall and processor time of stages."""

from __future__ import annotations

import time


class Clock:
    """Measures stages: ``with clock("fit"): ...``

    Args:
        seconds: stage -> wall and processor time; what is measured is put there.
    """

    def __init__(self, seconds: dict[str, list[float]]) -> None:
        self.seconds = seconds
        self.stage = ""

    def __call__(self, stage: str) -> Clock:
        """Itself, for a stage of this name."""
        self.stage = stage
        return self

    def __enter__(self) -> None:
        self._start = (time.perf_counter(), time.process_time())

    def __exit__(self, *error: object) -> None:
        wall, cpu = time.perf_counter() - self._start[0], time.process_time() - self._start[1]
        self.seconds[self.stage] = [round(wall, 2), round(cpu, 2)]

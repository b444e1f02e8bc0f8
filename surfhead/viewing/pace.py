"""How much time pictures may take from a run they are drawn beside."""

from __future__ import annotations


class Pace:
    """Lets work start only so often that it takes at most a share of the time.

    After work of s seconds, the next may start s (1 / share - 1) seconds later, so that the share holds over
    every stretch of time and not only on average.

    Args:
        share: of the wall time, in (0, 1].
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self.spent = 0.0
        self._ended = 0.0
        self._last = 0.0

    def ready(self, now: float) -> bool:
        """Whether work may start."""
        return now >= self._ended + self._last * (1.0 / self.share - 1.0)

    def worked(self, began: float, ended: float) -> None:
        """Told that work took this long."""
        self._ended, self._last = ended, ended - began
        self.spent += self._last

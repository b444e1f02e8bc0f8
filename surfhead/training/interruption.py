"""The request to end a run: Ctrl-C or SIGTERM, of which the first lets the step in hand finish."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from time import monotonic
from types import FrameType

from surfhead.training.ranks import ALONE, Ranks
from surfhead.training.read_back import ReadBack

SAME = 2.0  # seconds in which another signal is the same request: sent to a process and again to its group


class Interruption:
    """What is known of a request to end the run.

    Attributes:
        asked: whether this process, or one that trains with it, was asked to end after its step.
        alone: whether this one ends at once, at a second request, wherever the others are.
    """

    def __init__(self, ranks: Ranks = ALONE) -> None:
        self.ranks = ranks
        self.asked = self.alone = False
        self._answers = ReadBack()
        self._first: float | None = None  # when this process itself was asked

    def catch(self) -> Callable[[], object]:
        """Note signals from here on; gives what undoes it. A later second one raises KeyboardInterrupt."""
        if threading.current_thread() is not threading.main_thread():
            return lambda: None
        # those that train together are ended by SIGTERM where one fails: nobody is left to agree with
        numbers = (signal.SIGINT,) if self.ranks.count > 1 else (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self._note) for number in numbers}
        return lambda: [signal.signal(number, handler) for number, handler in before.items()]

    def _note(self, number: int, stack: FrameType | None) -> None:
        now = monotonic()
        if self._first is None:  # also where the others have told of theirs before this one's came
            self._first, self.asked = now, True
        elif now - self._first > SAME:
            self.alone = self.ranks.count > 1
            raise KeyboardInterrupt

    def agreed(self) -> bool:
        """Whether to end after this step, the same answer in all processes; called by all of them.

        Of several with GPUs it is what was asked for before the call before.
        """
        answer = self.ranks.any_lately(self.asked, self._answers)
        if answer:  # else a signal that came meanwhile stays noted, and is told the next time
            self.asked = True
        return answer

"""Motion that goes on by itself: a timeline here, a path of key frames in ``key_path``."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from surfhead.viewing.shot import Shot


@dataclass(frozen=True)
class Play(ABC):
    """A motion in progress.

    Attributes:
        began: when, on the clock of ``now``, seconds.
        rate: pictures a second worth drawing, times the speed.
    """

    began: float
    rate: float

    @abstractmethod
    def at(self, now: float, shot: Shot) -> Shot:
        """The shot at this moment."""

    def next_in(self, now: float) -> float:
        """Seconds until the next one."""
        ticks = (now - self.began) * self.rate
        return (math.floor(ticks) + 1 - ticks) / self.rate


@dataclass(frozen=True)
class TimelinePlay(Play):
    """Timesteps one after the other, round and round.

    Attributes:
        first: the timestep shown when it began.
        length: timesteps of the motion.
    """

    first: int = 0
    length: int = 1

    def at(self, now: float, shot: Shot) -> Shot:
        """The shot with the timestep of this moment."""
        step = (self.first + int((now - self.began) * self.rate + 1e-6)) % self.length
        return replace(shot, stance=replace(shot.stance, timestep=step))

"""Motion that goes on by itself: a timeline, or a path of key frames."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from surfhead.core.key_frames import KeyFrames
    from surfhead.core.viewing.session import Shot


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


@dataclass(frozen=True)
class PathPlay(Play):
    """The way from key frame to key frame, round and round.

    Attributes:
        path: the key frames.
        speed: seconds of the path a second.
        duration: seconds of the path.
    """

    path: KeyFrames | None = None
    speed: float = 1.0
    duration: float = 0.0

    def at(self, now: float, shot: Shot) -> Shot:
        """The shot with camera and pose of this moment."""
        from surfhead.core.viewing.key_path import shot_at

        assert self.path is not None
        elapsed = (now - self.began) * self.speed
        return shot_at(self.path, elapsed % self.duration if self.duration > 0 else 0.0, shot)

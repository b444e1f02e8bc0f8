"""What one open page sees, and when it needs a new picture."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from surfhead.viewing.play import Play
from surfhead.viewing.settings import SIZES
from surfhead.viewing.shot import Request, Shot

STILL = 0.25  # seconds without a change after which the full picture is drawn
SMALLEST = 96  # pixels of the longer side of a picture in motion, at least
COARSE = 16  # sizes in motion are multiples of this, so that they do not flicker


class Session:
    """One page's shot, and which of its states was last drawn; may be used from several threads.

    While the shot changes, pictures are as small as it takes to draw one in ``moving_seconds``; once it
    rests, one of the full size follows. States between two pictures are never drawn.

    Args:
        shot: to begin with.
        size: pixels of the longer side of a full picture.
        moving_seconds: time a picture in motion may take.
        wake: called after every change.
    """

    def __init__(
        self, shot: Shot, size: int, moving_seconds: float = 0.1, wake: Callable[[], None] = lambda: None
    ) -> None:
        self.size = size
        self.aspect = 1.0
        self.moving_seconds = moving_seconds
        self.play: Play | None = None
        self._shot = shot
        self._wake = wake
        self._lock = threading.RLock()
        self._version = 1
        self._drawn = 0
        self._full = False
        self._changed = -math.inf
        self._seconds_per_pixel = 0.0

    @property
    def shot(self) -> Shot:
        """The latest."""
        return self._shot

    def change(self, now: float, **changes: Any) -> Shot:
        """Replace parts of the shot."""
        with self._lock:
            after = replace(self._shot, **changes)
            if after != self._shot:
                self._shot = after
                self._version += 1
                self._changed = now
        self._wake()
        return self._shot

    def resize(self, now: float, aspect: float | None = None, size: int | None = None) -> None:
        """Another shape or size of the picture."""
        with self._lock:
            before = (self.aspect, self.size)
            self.aspect = self.aspect if aspect is None else aspect
            self.size = self.size if size is None else min(max(size, 1), SIZES[1])
            if (self.aspect, self.size) != before:
                self._version += 1
                self._changed = now
        self._wake()

    def touch(self) -> None:
        """Ask for a new picture of the same shot, as when the avatar itself changed."""
        with self._lock:
            self._version += 1
        self._wake()

    def start(self, play: Play | None) -> None:
        """Play a motion, or None to stop where it is."""
        with self._lock:
            self.play = play
        self._wake()

    def wanted(self, now: float) -> Request | None:
        """The picture to draw now, or None while the last one is still right."""
        with self._lock:
            if self.play is not None:
                moved = self.play.at(now, self._shot)
                if moved != self._shot:
                    self._shot = moved
                    self._version += 1
                    self._changed = now
            moving = self.play is not None or now - self._changed < STILL
            stale = self._drawn < self._version
            if not stale and (self._full or moving):
                return None
            longest = self.size if not moving else self._moving_size()
            return Request(self._shot, self.aspect, longest, longest == self.size, self._version)

    def finished(self, request: Request, pixels: int, seconds: float) -> None:
        """Told that a picture was drawn, and how long it took."""
        with self._lock:
            self._drawn = max(self._drawn, request.version)
            self._full = request.full and request.version == self._version
            found = seconds / max(pixels, 1)
            known = self._seconds_per_pixel
            self._seconds_per_pixel = found if known == 0.0 else 0.5 * (known + found)

    def rests_in(self, now: float) -> float | None:
        """Seconds until a picture will be wanted if nothing more happens, or None."""
        with self._lock:
            if self.play is not None:
                return self.play.next_in(now)
            if self._full and self._drawn >= self._version:
                return None
            return max(self._changed + STILL - now, 0.0)

    def _moving_size(self) -> int:
        """Pixels of the longer side that take ``moving_seconds``."""
        if self._seconds_per_pixel == 0.0:
            return max(self.size // 2, min(SMALLEST, self.size))
        pixels = self.moving_seconds / self._seconds_per_pixel
        shape = max(self.aspect, 1.0 / self.aspect)
        longest = int(math.sqrt(pixels * shape)) // COARSE * COARSE
        return min(max(longest, SMALLEST), self.size)

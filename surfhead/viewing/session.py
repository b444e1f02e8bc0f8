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

STEP = 0.4  # seconds the first picture at rest may take, before one of the full size
STILL = 0.25  # seconds without a change after which the full picture is drawn
SMALLEST = 96  # pixels of the longer side of a picture in motion, at least
UNKNOWN = 1024  # pixels: half of it while nothing is known of the machine
COARSE = 16  # sizes in motion are multiples of this, so that they do not flicker


class Session:
    """One page's shot, and which of its states was last drawn; may be used from several threads.

    While the shot changes, pictures are as small as it takes to draw one in ``moving_seconds``; once it
    rests, one of the full size follows, that of the page's window, and where this takes long a smaller one
    before it. States between two pictures are never drawn.

    Args:
        shot: to begin with.
        size: pixels of the longer side of a full picture, at most.
        moving_seconds: time a picture in motion may take.
        wake: called after every change.
    """

    def __init__(
        self, shot: Shot, size: int, moving_seconds: float = 0.1, wake: Callable[[], None] = lambda: None
    ) -> None:
        self.size = size
        self.aspect = 1.0
        self.window = SIZES[1]  # pixels of the longer side of the page's window
        self.moving_seconds = moving_seconds
        self.play: Play | None = None
        self._shot = shot
        self._wake = wake
        self._lock = threading.RLock()
        self._version = 1
        self._drawn = 0
        self._full = False
        self._refined = 0  # pixels of the longer side of what was drawn last at rest
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

    @property
    def full_size(self) -> int:
        """Pixels of the longer side of a full picture."""
        return max(min(self.size, self.window), SIZES[0])

    def resize(
        self, now: float, aspect: float | None = None, size: int | None = None, window: int | None = None
    ) -> None:
        """Another shape or size of the picture, or of the window it is in."""
        with self._lock:
            before = (self.aspect, self.full_size)
            self.window = self.window if window is None else min(max(window, 1), SIZES[1])
            self.aspect = self.aspect if aspect is None else aspect
            self.size = self.size if size is None else min(max(size, 1), SIZES[1])
            if (self.aspect, self.full_size) != before:
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
            full = self.full_size
            longest = self._sized(self.moving_seconds) if moving else full
            if not moving and (stale or 2 * self._refined < self._sized(STEP)):
                step = self._sized(STEP)
                longest = step if 2 * step < full else full  # coarse first, as the full one takes long
            return Request(self._shot, self.aspect, longest, longest == full, self._version)

    def finished(self, request: Request, pixels: int, seconds: float) -> None:
        """Told that a picture was drawn, and how long it took."""
        with self._lock:
            self._drawn = max(self._drawn, request.version)
            self._full = request.full and request.version == self._version
            self._refined = request.longest if request.version == self._version else 0
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

    def _sized(self, seconds: float) -> int:
        """Pixels of the longer side of a picture that takes so long."""
        full = self.full_size
        if self._seconds_per_pixel == 0.0:
            return max(min(full, UNKNOWN) // 2, min(SMALLEST, full))
        pixels = seconds / self._seconds_per_pixel
        shape = max(self.aspect, 1.0 / self.aspect)
        longest = int(math.sqrt(pixels * shape)) // COARSE * COARSE
        return min(max(longest, SMALLEST), full)

"""What the pages of a run in progress know of it, and what they may ask of it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from surfhead.viewing.pace import Pace

KEPT = 500  # points of a curve; when there are more, every second one goes


class Curves:
    """Values over images, thinned so that there are never more than a few hundred.

    Attributes:
        images: (n) where.
        values: name -> n values; 0 where one is missing, as a term that is off adds nothing.
    """

    def __init__(self, most: int = KEPT) -> None:
        self.images: list[int] = []
        self.values: dict[str, list[float]] = {}
        self._most = most
        self._every = 1
        self._offered = 0

    def add(self, images: int, values: Mapping[str, float]) -> None:
        """One more point."""
        self._offered += 1
        if self._offered % self._every:
            return
        for name in values:
            self.values.setdefault(name, [0.0] * len(self.images))
        self.images.append(images)
        for name, row in self.values.items():
            row.append(values.get(name, 0.0))
        if len(self.images) > self._most:
            self._every *= 2
            self.images = self.images[1::2]  # those that come every `_every`
            self.values = {name: row[1::2] for name, row in self.values.items()}


@dataclass
class Training:
    """What pages know of a run, and what they may ask of it; shared by all pages.

    Attributes:
        pace: how much time pictures may take.
        curves: the weighted losses; ``psnr`` is that of training pictures, dB.
        facts: one line on how it goes.
        paused: whether the run is to wait.
        changed: counts the changes of curves and facts.
    """

    pace: Pace
    curves: Curves = field(default_factory=Curves)
    psnr: Curves = field(default_factory=Curves)
    facts: str = ""
    paused: bool = False
    changed: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

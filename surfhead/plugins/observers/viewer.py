"""Shows a run in the browser while it goes on: the avatar from any side and in any pose, curves, and pause.

The page is that of `surfhead view`. Pictures are drawn between two steps, in the run's own thread, and only
while a page is open; after a picture of s seconds the next one waits s (1 / share - 1) seconds, so that pages
never take more than their share of the time, whatever they ask for. Looking changes nothing that is learnt.
A run that was paused goes on when the last page is closed.
The server listens on this machine alone unless ``host`` says otherwise. It closes with the run; afterwards
there is `surfhead view RUN`. Needs the extra ``viewer``: pip install "surfhead[viewer]".
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from surfhead import viewing
from surfhead.core.api import Observer, option

CURVE_STEPS = 20  # between two points of a curve: reading a loss waits for the GPU
WAIT = 0.02  # seconds between two looks while the run is paused


class Viewer(Observer):
    """Serves a page that follows the run."""

    name = "viewer"
    summary = "A page in the browser that follows the run: `--viewer`."

    @dataclass(frozen=True)
    class Options:
        """Where the page is, and what it may cost."""

        host: str = option("127.0.0.1", "Address to listen on; others let others in.")
        allow: str = option("", "Further names that browsers call this machine by, separated by commas.")
        port: int = option(8080, "Port; the next free one if it is taken.", low=0, high=65535)
        share: float = option(0.04, "Part of the run's time that pictures may take.", above=0, high=1)
        size: int = option(512, "Longer side of a picture at rest, pixels.", low=64, high=4096)
        quality: int = option(
            80, "JPEG quality of the pictures, 1 to 99; 100 sends PNG, without loss.", low=1, high=100
        )
        every: float = option(2.0, "Seconds between two new pictures of a shot at rest, at least.", above=0)

    options: Options

    @classmethod
    def available(cls) -> str | None:
        """None with the package viser."""
        return viewing.missing()

    def run_started(self, run: Any) -> None:
        """Open the page."""
        options = self.options
        self.steps = 0
        self.refreshed = -math.inf
        self.training = viewing.Training(viewing.Pace(options.share))
        self.page = viewing.Page(
            run.avatar,
            host=options.host,
            port=options.port,
            size=options.size,
            quality=options.quality,
            scene=run.scene,
            training=self.training,
            title=run.folder.name,
            hosts=options.allow.split(","),
        )
        self._describe(run)
        print(f"The run is shown at {self.page.url}", flush=True)

    def stepped(self, run: Any, images: int, losses: Mapping[str, Tensor]) -> None:
        """Draw what the open pages wait for, as far as the share allows; wait while the run is paused."""
        self.steps += 1
        page = self.page
        if self.steps % CURVE_STEPS == 0:
            training = self.training
            with training.lock:
                training.curves.add(images, {name: float(value) for name, value in losses.items()})
                if math.isfinite(run.psnr):
                    training.psnr.add(images, {"PSNR": run.psnr})
                training.changed += 1
            self._describe(run)
        if not page.streamer.waiting:
            return
        self._serve()
        while self.training.paused and page.visitors and not run.interrupted:
            if not page.streamer.step():
                time.sleep(WAIT)
        self.training.paused = False  # a run does not wait for somebody who has left

    def _serve(self) -> None:
        now = self.page.now()
        if now - self.refreshed >= self.options.every:
            self.refreshed = now
            self.page.refresh()
        self.page.serve(self.training.pace)

    def _describe(self, run: Any) -> None:
        psnr = f"{run.psnr:.2f} dB" if math.isfinite(run.psnr) else "-"
        self.training.facts = (
            f"{run.images} of {run.length} images, {run.rate:.1f} a second, PSNR {psnr}, "
            f"{len(run.avatar.surfels)} surfels"
        )

    def run_finished(self, run: Any, error: BaseException | None) -> None:
        """Close the page."""
        page = getattr(self, "page", None)
        if page is not None:
            page.close()

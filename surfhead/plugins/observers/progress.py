"""Shows how a run goes: a live display in a terminal, plain lines elsewhere.

Both give the images seen, images a second, the last PSNR on a training batch, the number of surfels, the
weighted loss terms and the time left. Evaluations are printed as lines that stay. Reading a value waits
for the GPU, so on a GPU at least 20 steps lie between two refreshes. `surfhead train --quiet` leaves this
observer out.
"""

from __future__ import annotations

import math
import shlex
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from torch import Tensor

from surfhead.core.api import Observer, option

STEPS = 20  # between two looks at values on a GPU
LIVE_SECONDS = 0.5  # between two refreshes of the live display
BAR_WIDTH = 32


class Progress(Observer):
    """Prints while a run goes on."""

    name = "progress"
    summary = "Live display in a terminal, plain lines elsewhere."
    display = True

    @dataclass(frozen=True)
    class Options:
        """How it is shown."""

        style: Literal["auto", "live", "lines"] = option(
            "auto",
            "live: a display that stays in place; lines: a line now and then; auto: as the output allows.",
        )
        seconds: float = option(5.0, "Seconds between two plain lines.", low=0)

    options: Options

    def run_started(self, run: Any) -> None:
        """Say what is trained, and open the display."""
        terminal = sys.stdout.isatty()
        width = None if terminal else 160
        self.console = Console(highlight=False, markup=False, emoji=False, width=width)
        live = terminal if self.options.style == "auto" else self.options.style == "live"
        self.steps = 0
        self.shown_at = time.monotonic()
        self.shown_step = 0
        avatar, views = run.avatar, run.scene.views
        self._say(
            f"Training {avatar.deformer.name} + {avatar.appearance.name} in {run.folder}: "
            f"{run.length} images of {views.width}x{views.height}, {len(avatar.surfels)} surfels, "
            f'rasterizer "{avatar.rasterizer.name}" on {avatar.device}.'
        )
        if run.images > 0:
            self._say(f"Continuing at image {run.images}.")
        for note in run.scene.notes:
            self._say(f"Data: {note}")
        self.live = Live(console=self.console, auto_refresh=False, transient=True) if live else None
        if self.live is not None:
            self.live.start()

    def stepped(self, run: Any, images: int, losses: Mapping[str, Tensor]) -> None:
        """Refresh, when it is time to."""
        self.steps += 1
        now = time.monotonic()
        pause = self.options.seconds if self.live is None else LIVE_SECONDS
        on_gpu = run.avatar.device.type != "cpu"
        if now - self.shown_at < pause or (on_gpu and self.steps - self.shown_step < STEPS):
            return
        self.shown_at, self.shown_step = now, self.steps
        left = (run.length - images) / max(run.rate, 1e-9)
        facts = [
            f"{images}/{run.length} images",
            f"{run.rate:.1f} images/s",
            f"PSNR {run.psnr:.2f} dB" if math.isfinite(run.psnr) else "PSNR -",
            f"{len(run.avatar.surfels)} surfels",
            f"{clock(left)} left",
        ]
        terms = "  ".join(f"{name} {float(value):.4f}" for name, value in losses.items())
        if self.live is None:
            self._say("  ".join([*facts, "|", terms]))
            return
        row = Table.grid(padding=(0, 2))
        row.add_row(ProgressBar(run.length, images, width=BAR_WIDTH), *facts)
        self.live.update(Group(row, Text(terms, style="dim")), refresh=True)

    def evaluated(self, run: Any, images: int, split: str, means: Mapping[str, float]) -> None:
        """Print the means of an evaluation."""
        figures = "  ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in means.items())
        self._say(f"{split} at image {images}: {figures}")

    def run_finished(self, run: Any, error: BaseException | None) -> None:
        """Close the display, and say how to go on after an interruption."""
        if self.live is not None:
            self.live.stop()
        if isinstance(error, KeyboardInterrupt):
            folder = shlex.quote(str(Path(run.folder)))
            self._say(f"Stopped at image {run.images}. Continue: surfhead train --resume --out {folder}")

    def _say(self, text: str) -> None:
        self.console.print(text, soft_wrap=True)


def clock(seconds: float) -> str:
    """Seconds as ``m:ss`` or ``h:mm:ss``."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"

"""Shows how a run goes: a display that stays in place in a terminal, plain lines elsewhere.

Both give the images seen, images a second, the last PSNR on a training batch, the number of surfels, the
weighted loss terms and the time left. Evaluations are printed as lines that stay. Reading a value waits
for the GPU, so on a GPU at least 20 steps lie between two refreshes. `surfhead train --quiet` leaves this
observer out.
"""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.text import Text
from torch import Tensor

from surfhead.core.api import Observer, option
from surfhead.terminal import bars
from surfhead.terminal import console as terminal
from surfhead.terminal.console import say
from surfhead.terminal.figure_names import figure_name
from surfhead.terminal.sizes import clock
from surfhead.terminal.waited import end_waiting

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

STEPS = 20  # between two looks at values on a GPU
LIVE_SECONDS = 0.5  # between two refreshes of the live display
LAST_LOOK = (  # as the run's log has it
    "Last look: mending colours, covering and closing what no picture shows; this may take a minute."
)
BETWEEN = "  "  # two facts on a line


class Standing:
    """How far a run is: a bar, and lines of facts that end between two of them."""

    def __init__(self, length: int) -> None:
        self.length, self.images = length, 0
        self.facts: list[str] = []
        self.terms: list[str] = []

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The bar ahead of the first facts, and the loss terms below."""
        room = max(min(options.max_width - 1, bars.WIDEST), 20)
        drawn = bars.bar(self.images / max(self.length, 1), bars.BAR[1], ascii=bars.plain(console))
        first, *rest = joined(self.facts, room, bars.BAR[1] + len(BETWEEN))
        yield drawn.append(BETWEEN).append(first) if first else drawn
        for line in rest:
            yield Text(line)
        for line in joined(self.terms, room):
            yield Text(line, style="dim")


def joined(words: Sequence[str], room: int, ahead: int = 0) -> list[str]:
    """Words in lines of at most ``room`` columns, of which ``ahead`` are taken in the first; never cut."""
    lines = [""]
    for word in words:
        before = f"{lines[-1]}{BETWEEN}" if lines[-1] else ""
        taken = ahead if len(lines) == 1 else 0
        if (before or taken) and taken + len(before) + len(word) > room:
            lines.append(word)
        else:
            lines[-1] = before + word
    return lines


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
        live = bars.visible() if self.options.style == "auto" else self.options.style == "live"
        end_waiting()
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
        self.live = Standing(run.length) if live else None
        if self.live is not None:
            bars.show(self.live, refresh=False)

    def stepped(self, run: Any, images: int, losses: Mapping[str, Tensor]) -> None:
        """Refresh, when it is time to; after the last step say what follows, which looks as if it hung."""
        self._refresh(run, images, losses)
        if images >= run.length and (run.avatar.deformer.rig_bound or run.config.tie_unseen):
            self._say(LAST_LOOK)

    def _refresh(self, run: Any, images: int, losses: Mapping[str, Tensor]) -> None:
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
        terms = [f"{name} {float(value):.4f}" for name, value in losses.items()]
        if self.live is None:
            self._say(BETWEEN.join([*facts, "|", *terms]))
            return
        self.live.images, self.live.facts, self.live.terms = images, facts, terms
        bars.redraw()

    def evaluated(self, run: Any, images: int, split: str, means: Mapping[str, float]) -> None:
        """Print the means of an evaluation."""
        figures = {figure_name(key): value for key, value in means.items()}
        told = [f"{name.short} {name.with_unit(value)}" for name, value in figures.items()]
        first = f"{split} at image {images}:"
        if not bars.visible():
            self._say(f"{first} {BETWEEN.join(told)}")
            return
        for line in joined([first, *told], terminal.console().width - 1):
            self._say(line)

    def run_finished(self, run: Any, error: BaseException | None) -> None:
        """Close the display, and say how to go on after an interruption."""
        if self.live is not None:
            bars.hide(self.live)
        if isinstance(error, KeyboardInterrupt):
            folder = shlex.quote(str(Path(run.folder)))
            self._say(f"Stopped at image {run.images}. Continue: surfhead train --resume --out {folder}")

    def _say(self, text: str) -> None:
        say(text)

"""Writes a run's losses and metrics to metrics.jsonl in the run folder, one JSON object a line.

Two sorts of lines, told apart by their keys: ``{"images", "surfels", "losses"}`` with the weighted loss
terms of one step, and ``{"images", "split", "metrics"}`` with the means of an evaluation. They hold no
clock times, so that a run that was stopped and resumed leaves the same file as one that was not: on
resuming, lines of images beyond the checkpoint, and a line cut short, are dropped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from surfhead.core.api import Observer, option
from surfhead.files.bounds import read_records
from surfhead.files.writing import write_text

FILE = "metrics.jsonl"
STEPS = 20  # reading losses waits for the GPU, so lines are at least this many steps apart


class Jsonl(Observer):
    """Appends to metrics.jsonl."""

    name = "jsonl"
    summary = "Losses and metrics, a JSON line each, in metrics.jsonl."

    @dataclass(frozen=True)
    class Options:
        """How often."""

        every: int = option(
            100, "Images between two lines of losses; at least 20 steps lie between them.", low=1
        )

    options: Options

    def run_started(self, run: Any) -> None:
        """Keep the lines up to where the run starts; there are none for a new run."""
        self.path: Path = run.folder / FILE
        self.seen = run.images
        self.every = max(self.options.every, STEPS * run.config.batch_size)
        self.evaluations: set[tuple[int, str]] = set()
        kept = []
        if self.path.is_file():
            for line, row in read_records(self.path):
                try:
                    early = run.images > 0 and row["images"] <= run.images
                except (ValueError, LookupError, TypeError):
                    continue  # damaged
                if early:
                    kept.append(line.rstrip("\n") + "\n")
                    if "split" in row:
                        self.evaluations.add((row["images"], row["split"]))
        write_text(self.path, "".join(kept))

    def stepped(self, run: Any, images: int, losses: Mapping[str, Tensor]) -> None:
        """Write the losses when a line is due."""
        before, self.seen = self.seen, images
        if images // self.every > before // self.every or images == run.length:
            values = {name: float(value) for name, value in losses.items()}
            self._write({"images": images, "surfels": len(run.avatar.surfels), "losses": values})

    def evaluated(self, run: Any, images: int, split: str, means: Mapping[str, float]) -> None:
        """Write an evaluation's means, unless a finished run that is resumed only measures again."""
        if (images, split) not in self.evaluations:
            self._write({"images": images, "split": split, "metrics": dict(means)})

    def _write(self, row: Mapping[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

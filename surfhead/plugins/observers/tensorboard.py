"""Writes a run's curves for TensorBoard, under the tags that users of GaussianAvatars know.

Needs the extra ``tensorboard`` (``pip install "surfhead[tensorboard]"``). Files go to ``tensorboard/`` in the
run folder; look with ``tensorboard --logdir runs``. Steps are training images.

- ``train_loss_patches/l1_loss`` and so on for every term of the loss, with its weight as in the sum;
  ``train_loss_patches/total_loss`` is the sum.
- ``iter_time``: milliseconds a step, mean since the last line; ``total_points``: surfels.
- ``<split>/loss_viewpoint - l1_loss``, ``- psnr``, ``- ssim``, ``- lpips`` and the other figures of an
  evaluation; ``scene/opacity_histogram`` at the same time.

A resumed run goes on from its checkpoint: what was written beyond it is hidden.

Example: ``surfhead train DATA --set observers.tensorboard={}``
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from surfhead.core.api import Observer, option

FOLDER = "tensorboard"
STEPS = 20  # reading losses waits for the GPU, so writes are at least this many steps apart
LOSSES = "train_loss_patches/"


class Tensorboard(Observer):
    """Writes event files."""

    name = "tensorboard"
    summary = "Losses, metrics and opacities for TensorBoard, with GaussianAvatars' tags."

    @dataclass(frozen=True)
    class Options:
        """How often."""

        every: int = option(
            100, "Images between two points of the losses; at least 20 steps lie between them.", low=1
        )

    options: Options

    @classmethod
    def available(cls) -> str | None:
        """None, or that the extra is missing."""
        if find_spec("tensorboard") is None:
            return 'the package "tensorboard" is missing: pip install "surfhead[tensorboard]"'
        return None

    def run_started(self, run: Any) -> None:
        """Open the event file; a resumed run hides what lies beyond its checkpoint."""
        from torch.utils.tensorboard import SummaryWriter

        purge = run.images + 1 if run.images > 0 else None
        self.writer: Any = SummaryWriter(str(run.folder / FOLDER), purge_step=purge)
        self.every = max(self.options.every, STEPS * run.config.batch_size)
        self.seen, self.steps, self.since = run.images, 0, time.perf_counter()

    def stepped(self, run: Any, images: int, losses: Mapping[str, Tensor]) -> None:
        """Write losses, step time and the number of surfels when they are due."""
        before, self.seen = self.seen, images
        self.steps += 1
        if images // self.every == before // self.every and images != run.length:
            return
        values = {name: float(value) for name, value in losses.items()}
        now = time.perf_counter()
        for name, value in values.items():
            self.writer.add_scalar(f"{LOSSES}{name}_loss", value, images)
        self.writer.add_scalar(f"{LOSSES}total_loss", sum(values.values()), images)
        self.writer.add_scalar("iter_time", 1000.0 * (now - self.since) / self.steps, images)
        self.writer.add_scalar("total_points", len(run.avatar.surfels), images)
        self.steps, self.since = 0, now

    def evaluated(self, run: Any, images: int, split: str, means: Mapping[str, float]) -> None:
        """Write an evaluation's means and how opaque the surfels are."""
        for name, value in means.items():
            figure = "l1_loss" if name == "l1" else name
            self.writer.add_scalar(f"{split}/loss_viewpoint - {figure}", value, images)
        opacity = torch.sigmoid(run.avatar.surfels.parameters["opacity"].detach())
        self.writer.add_histogram("scene/opacity_histogram", opacity.cpu().numpy(), images)
        self.writer.flush()
        self.steps, self.since = 0, time.perf_counter()  # measuring is no part of a step

    def run_finished(self, run: Any, error: BaseException | None) -> None:
        """Close the file."""
        self.writer.close()

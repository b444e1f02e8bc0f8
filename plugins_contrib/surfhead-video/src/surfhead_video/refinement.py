"""Motion refined by pixels: what fits each frame's picture best, a quick avatar of the clip being the model.

Landmarks and patches of skin place a head within a pixel or two; pictures tell more. A quick avatar is
trained on all frames: as a mean over them it is less wrong than any. Then every frame's motion is fitted to
its picture with that avatar held (``surfhead.measuring.motion_fit``). Both are done once more from there. The
avatars are thrown away; only the motion is kept, as of any tracker of pixels. It knows of no split: held-out
frames' motion comes from their pixels, too.

It works on any opened data set with a rig that moves.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from surfhead.avatars.precision import single_precision
from surfhead.core.api import DataError, Frame, Scene
from surfhead.data.opening import Opened
from surfhead.measuring.motion_fit import fit_motion
from surfhead.runs.configuration import configure
from surfhead.runs.train import make_trainer
from surfhead.terminal.console import silence
from surfhead.training.devices import choose_device
from surfhead.training.trainer import Trainer
from surfhead_video.clock import Clock

AHEAD = 32  # pictures decoded before the first step
Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Plan:
    """How the motion is refined.

    Attributes:
        rounds: of an avatar and a fit.
        images: that each avatar is trained on.
        steps: of the fit's two stages, each.
        batch: pictures fitted at once.
        longest: side of the pictures, pixels, at most.
    """

    rounds: int = 2
    images: int = 1000
    steps: int = 30
    batch: int = 16
    longest: int = 512


@dataclass(frozen=True)
class Refined:
    """A motion refined by pixels.

    Attributes:
        motion: name -> (T, d) the rig's parameters.
        losses: (R, 2) mean loss of the frames before and after the fit of each round.
        seconds: stage -> wall and processor time.
    """

    motion: dict[str, Tensor]
    losses: np.ndarray
    seconds: dict[str, list[float]]


@single_precision()
def refine_motion(
    opened: Opened, plan: Plan | None = None, device: str = "auto", report: Report | None = None
) -> Refined:
    """Refine the motion of an opened data set by all of its pictures. Nothing else is left behind.

    Args:
        opened: is not changed.
        plan: rounds, images and steps.
        device: ``auto``, ``cpu``, ``cuda``.
        report: called with the stage's name, what is done and what there is.

    Raises:
        DataError: there is no motion, a picture is damaged, or what comes out is not finite.
        SurfheadError: a training fails.
    """
    plan = plan or Plan()
    chosen = choose_device(device)
    motion: dict[str, Tensor] = dict(opened.scene.rig_parameters)
    losses: list[tuple[float, float]] = []
    seconds: dict[str, list[float]] = {}
    try:
        with silence(), _own_numbers(chosen):
            for number in range(plan.rounds):
                watch = _Watch(f"{number + 1} of {plan.rounds}", seconds, report)
                motion, loss = _round(opened, motion, plan, chosen, watch)
                losses.append(loss)
    finally:
        if chosen.type == "cuda":
            torch.cuda.empty_cache()
    return Refined(motion, np.asarray(losses), seconds)


class _Watch:
    """Tells of a round's two stages what is done, and measures them."""

    def __init__(self, number: str, seconds: dict[str, list[float]], report: Report | None) -> None:
        self.number, self.clock, self.report = number, Clock(seconds), report

    def __call__(self, stage: str) -> Clock:
        self.stage = f"{stage}, round {self.number}"
        return self.clock(self.stage.lower())

    def tell(self, done: float, total: int) -> None:
        if self.report is not None:
            self.report(self.stage, int(done), total)


def _round(
    opened: Opened, motion: Mapping[str, Tensor], plan: Plan, device: torch.device, watch: _Watch
) -> tuple[dict[str, Tensor], tuple[float, float]]:
    """An avatar from this motion, and the motion that fits its pictures best; mean losses of that fit."""
    scene = Pictures(opened.scene, motion, plan.longest)
    with tempfile.TemporaryDirectory() as folder:  # of a run, which writes nothing
        trainer = _trainer(Opened(scene, opened.dataset), plan, Path(folder), device)
        try:
            with watch("Quick avatar"):
                _train(trainer, watch)
        finally:
            trainer.close()  # which gives memory back
    views = np.arange(len(scene.views))
    with watch("Motion by pixels"):
        fit = fit_motion(
            trainer.avatar, scene, views, steps=plan.steps, batch_size=plan.batch, report=watch.tell
        )
    found = {name: fit.motion[name].detach().cpu().float() for name in motion}
    losses = float(fit.before.mean()), float(fit.after.mean())
    if not (np.isfinite(losses).all() and all(bool(rows.isfinite().all()) for rows in found.values())):
        raise DataError(
            "The motion that pixels give is not finite.",
            "Expected pictures that the tracked head covers.",
            "Look at `surfhead-video overlay`.",
        )
    return found, losses


def _trainer(opened: Opened, plan: Plan, folder: Path, device: torch.device) -> Trainer:
    """Of the quick avatar. What of it is to be kept or shown is left out, as ``run`` is not called."""
    settings = {
        "iterations": plan.images,
        "seed": 0,
        "hold_out": False,
        "device": str(device),
        "initial_colours": "mean",
    }
    config = configure(preset="monocular", settings=settings)
    return make_trainer(config, opened, folder, device, quiet=True)


def _train(trainer: Trainer, watch: _Watch) -> None:
    trainer.feed.prefetch(trainer.order.peek(AHEAD))
    while trainer.images < trainer.length:
        trainer.step()
        watch.tell(trainer.images, trainer.length)
    trainer.avatar.advance(
        trainer.images
    )  # what a run does last, to what no picture shows, is of no use here


@contextmanager
def _own_numbers(device: torch.device) -> Iterator[None]:
    """Random numbers of the user's go on as if nothing had been drawn within."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield


class Pictures(Scene):
    """A data set's pictures, all for training and none larger than asked for, with another motion.

    Args:
        scene: the data set.
        motion: name -> (T, d) the rig's parameters.
        longest: side of the pictures, pixels, at most.
    """

    def __init__(self, scene: Scene, motion: Mapping[str, Tensor], longest: int) -> None:
        views = scene.views
        given = np.array([views.size(view) for view in range(len(views))], np.int64)
        scale = np.minimum(1.0, longest / given.max(axis=1, keepdims=True))
        sizes = np.maximum(np.rint(given * scale), 1).astype(np.int64)
        intrinsics = views.intrinsics.copy()
        intrinsics[:, :2] *= (sizes / given)[:, ::-1, None]  # width, then height; edges are at 0
        super().__init__(
            replace(
                views,
                intrinsics=intrinsics,
                split=np.full(len(views), "train"),
                height=int(sizes[:, 0].max()),
                width=int(sizes[:, 1].max()),
                sizes=None if views.sizes is None else sizes,
            ),
            rig=scene.rig,
            rig_parameters=motion,
            identity=scene.identity,
            rig_options=scene.rig_options,
            timestep_names=scene.timestep_names,
            background=scene.background,
            rate=scene.rate,
        )
        self._scene = scene

    def frame(self, view: int) -> Frame:
        """Picture and mask of a view."""
        given = self._scene.picture(view)
        height, width = self.views.size(view)
        return Frame(
            _resized(given.image, width, height),
            None if given.mask is None else _resized(given.mask, width, height),
        )

    def files(self, view: int) -> tuple[Path, ...]:
        """The data set's own."""
        return self._scene.files(view)


def _resized(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    if picture.shape[:2] == (height, width):
        return picture
    return np.array(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))

"""Fits the motion of some frames to their pictures, the avatar held: what of an error is the tracking's.

Photometric trackers (Thies et al., "Face2Face", CVPR 2016, and its descendants) find the rig's parameters of
every frame from its pixels, those of held-out frames too. Here Adam (Kingma and Ba 2015) does the same with a
trained avatar as the model: first the head's pose moves, then all that the tracker found of a frame. The loss
of a timestep is that of training, the mean over its views of 0.8 |rendered - truth| + 0.2 (1 - SSIM), and a
weak prior 0.5 PRIOR |u|² that keeps near its start what no picture shows.

u is the way from the tracked start in units of what a tracker may well be wrong by: a parameter's declared
rate of training times ``STRIDES``. With the built-in rigs' rates that is 0.02 radians, two millimetres, and
0.1 of an expression. 60 steps of both stages lead a few such units away at most.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.avatars.precision import single_precision
from surfhead.core.errors import DataError
from surfhead.core.rig_parameter import RigParameter
from surfhead.core.scene import Scene
from surfhead.core.types import Batch
from surfhead.data.feed import Feed
from surfhead.files.given import whole_number
from surfhead.kernels import ops
from surfhead.terminal.bars import progress

STEPS = 60  # of each stage
POSE = ("root", "translation", "neck")  # roles of what moves first
SHARES = 0.8, 0.2  # of colour error and dissimilarity, as in training
STRIDES = 2000.0, 100.0  # times the declared rate: of rotations and translations, of anything else
RATE, LAST = 0.07, 0.1  # of Adam, units a step at first; the share of it that is left at the end
DECAYS = (0.9, 0.99)
EPSILON = 1e-6  # loss a unit: what changes the pictures less hardly moves
PRIOR = 1e-5  # loss at one unit, twice
BATCH = 4  # views drawn at once


@dataclass(frozen=True)
class MotionFit:
    """A motion whose rows of some timesteps were fitted to their pictures.

    Attributes:
        motion: name -> (T, d); only these timesteps' rows differ from the start.
        timesteps: (K,) int64, the fitted ones, in order.
        names: the parameters that were fitted.
        steps: of each of the two stages.
        before, after: (K,) the loss of each, prior included; never higher after.
    """

    motion: dict[str, Tensor]
    timesteps: np.ndarray
    names: tuple[str, ...]
    steps: int
    before: Tensor
    after: Tensor

    @property
    def note(self) -> str:
        """What a reader of figures with this motion must know."""
        return (
            f"motion of these frames was fitted to their pictures, {self.steps} steps for the pose and "
            f"{self.steps} with the rest; a tracker that uses pixels does the same; without it use surfhead "
            "eval RUN"
        )


@single_precision()
def fit_motion(
    avatar: Avatar,
    scene: Scene,
    views: np.ndarray | Sequence[int],
    motion: Mapping[str, Tensor] | None = None,
    *,
    steps: int = STEPS,
    batch_size: int = BATCH,
    what: str = "the motion",
    report: Callable[[float, int], None] | None = None,
) -> MotionFit:
    """Fit the rig parameters of the timesteps that some views show to these views' pictures.

    Nothing of the avatar changes. What is constant over the motion, belongs to one person's shape or is not
    trainable stays. A timestep keeps the parameters of the lowest loss that was seen, its start included.

    Args:
        avatar: a trained one.
        scene: the truth, on whose background everything is drawn.
        views: indices into the scene's views.
        motion: name -> (T, d) the start; by default the avatar's own.
        steps: of each stage.
        batch_size: views drawn at once, which bounds memory.
        what: is being fitted, for the bar.
        report: is told, in place of a bar, how many timesteps are done by now, and of how many.

    Raises:
        DataError: there is nothing to fit, as of a static scene; or a picture is damaged.
        OptionError: ``steps`` or ``batch_size`` is no whole number of at least 1.
    """
    steps = whole_number("steps", steps, 1, "Mend --fit-steps.")
    batch_size = whole_number("batch_size", batch_size, 1, "Mend it.")
    start = {name: rows.detach() for name, rows in (avatar.motion if motion is None else motion).items()}
    start = {name: rows.to(avatar.device, torch.float32) for name, rows in start.items()}
    stages = stages_of(avatar, start)
    chosen = np.asarray(views, dtype=np.int64)
    timesteps = np.unique(scene.views.timestep[chosen])
    made = {name: rows.clone() for name, rows in start.items()}
    before, after = (torch.zeros(len(timesteps)) for _ in range(2))
    avatar.shape()
    held, done = _held(avatar), 0
    feed = Feed(scene, avatar.device, "disk", 1)
    try:
        with _told(f"Fitting {what}", len(timesteps), report) as advance:
            for group in _groups(scene, chosen, timesteps, batch_size):
                rows = torch.from_numpy(timesteps[group]).to(avatar.device)
                fit = _Fit(held, {name: value[rows] for name, value in start.items()}, stages[-1])
                fit.show(feed, scene, chosen, timesteps[group], batch_size)
                tell = _share(advance, done, len(group))
                before[group], after[group] = fit.run(stages, steps, tell)
                for name, value in fit.best().items():
                    made[name][rows] = value
                done += len(group)
    finally:
        feed.close()
    return MotionFit(made, timesteps, tuple(stages[-1]), steps, before, after)


def _told(
    what: str, count: int, report: Callable[[float, int], None] | None
) -> AbstractContextManager[Callable[[float], None]]:
    if report is None:
        return progress(what, count, " timesteps")
    return nullcontext(lambda part: report(part, count))


def _share(advance: Callable[[float], None], done: int, count: int) -> Callable[[float], None]:
    return lambda part: advance(done + count * part)


def stages_of(avatar: Avatar, motion: Mapping[str, Tensor]) -> list[tuple[str, ...]]:
    """Names of what a fit of this motion, name -> (T, d), moves in each stage; the last has all.

    Raises:
        DataError: that is nothing.
    """
    if not avatar.deformer.rig_bound or not motion:
        raise DataError(
            "There is no motion to fit: the avatar has no rig that moves.",
            f'Its deformer is "{avatar.deformer.name}", its rig "{avatar.rig.name}".',
            "Leave out --fit-motion.",
        )
    known = avatar.rig.parameters()
    free = tuple(name for name, rows in motion.items() if name in known and _free(known[name], rows))
    if not free:
        raise DataError(
            "There is no motion to fit: every parameter is constant or not trainable.",
            f"The motion has: {', '.join(motion)}.",
            "Leave out --fit-motion, or choose data whose frames move.",
        )
    pose = tuple(name for name in free if known[name].role in POSE)
    return [pose, free] if pose and pose != free else [free]


def _free(parameter: RigParameter, rows: Tensor) -> bool:
    """Whether a parameter with these rows (T, d) may be fitted."""
    trainable = parameter.rate is not None and parameter.rate > 0 and parameter.role != "personal"
    return trainable and (len(rows) == 1 or bool((rows != rows[:1]).any()))


def _unit(parameter: RigParameter) -> float:
    """What a tracker may well be wrong by, in the parameter's unit."""
    rigid = parameter.axis_angle or parameter.role == "translation"
    return (parameter.rate or 0.0) * STRIDES[0 if rigid else 1]


def _held(avatar: Avatar) -> Avatar:
    """The avatar with the same tensors, which get no gradients."""
    held = avatar.drawn_by(avatar.rasterizer)
    held.surfels = copy.copy(avatar.surfels)
    held.surfels.parameters = {name: value.detach() for name, value in avatar.surfels.parameters.items()}
    held.shaping = False
    return held


def _groups(scene: Scene, views: np.ndarray, timesteps: np.ndarray, batch_size: int) -> list[list[int]]:
    """Places in ``timesteps`` fitted together: with as many views as are drawn at once, or one alone."""
    _, counts = np.unique(scene.views.timestep[views], return_counts=True)
    made: list[list[int]] = []
    room = 0
    for place, count in enumerate(counts.tolist()):
        if not made or count > room:
            made.append([])
            room = batch_size
        made[-1].append(place)
        room -= count
    assert len(counts) == len(timesteps)
    return made


@dataclass(frozen=True)
class _Shown:
    """Views of one size that are drawn at once.

    Attributes:
        batch: their cameras and pictures.
        poses: (P,) int64 which of the K timesteps they show; ``batch.pose_of_view`` counts in these.
        place: (B,) int64 which of the K timesteps each shows.
        weight: (B,) its share in the loss of its timestep.
    """

    batch: Batch
    poses: Tensor
    place: Tensor
    weight: Tensor


class _Fit:
    """The fit of K timesteps, which have nothing to do with one another but that they are drawn at once.

    Args:
        avatar: gets no gradients.
        start: name -> (K, d).
        names: of what may move.
    """

    def __init__(self, avatar: Avatar, start: Mapping[str, Tensor], names: Sequence[str]) -> None:
        known = avatar.rig.parameters()
        self.avatar, self.start = avatar, start
        self.units = {name: _unit(known[name]) for name in names}
        self.way = {name: torch.zeros_like(start[name]) for name in names}  # u of this module's text
        self.lowest = {name: value.clone() for name, value in self.way.items()}
        first = next(iter(start.values()))
        self.loss = first.new_full((len(first),), math.inf)
        self.parts: list[_Shown] = []

    def show(
        self, feed: Feed, scene: Scene, views: np.ndarray, timesteps: np.ndarray, batch_size: int
    ) -> None:
        """Read the pictures of the views that show these timesteps (K,)."""
        device = self.avatar.device
        wanted = views[np.isin(scene.views.timestep[views], timesteps)]
        wanted = wanted[np.argsort(scene.views.timestep[wanted], kind="stable")]
        _, counts = np.unique(scene.views.timestep[wanted], return_counts=True)
        for group in scene.views.by_size(wanted):
            for first in range(0, len(group), batch_size):
                part = group[first : first + batch_size]
                place = np.searchsorted(timesteps, scene.views.timestep[part])
                poses, index = np.unique(place, return_inverse=True)
                pose_of_view = torch.from_numpy(index.reshape(-1)).to(device)
                batch = replace(feed.batch(part), pose_of_view=pose_of_view, paired=len(poses) == len(part))
                weight = torch.from_numpy(1.0 / counts[place]).to(device, torch.float32)
                shown, places = (torch.from_numpy(values).to(device) for values in (poses, place))
                self.parts.append(_Shown(batch, shown, places, weight))

    def run(
        self, stages: Sequence[Sequence[str]], steps: int, tell: Callable[[float], None]
    ) -> tuple[Tensor, Tensor]:
        """Fit; gives the losses (K,) before and after. ``tell`` hears what share is done."""
        before: Tensor | None = None
        for number, names in enumerate(stages):
            self.way = {name: value.clone() for name, value in self.lowest.items()}
            moving = [self.way[name] for name in names]
            adam = torch.optim.Adam(moving, RATE, DECAYS, EPSILON)
            for step in range(steps):
                falling = 0.5 + 0.5 * math.cos(math.pi * step / steps)
                adam.param_groups[0]["lr"] = RATE * (LAST + (1.0 - LAST) * falling)
                losses = self._losses(names)
                before = losses if before is None else before
                adam.step()
                tell((number + (step + 1) / steps) / len(stages))
            self._losses(())
        assert before is not None
        return before.cpu(), self.loss.cpu()

    def best(self) -> dict[str, Tensor]:
        """Name -> (K, d) the parameters of the lowest loss; bit for bit the start where nothing moved."""
        rows = self._rows(self.lowest)
        for name, value in self.lowest.items():
            rows[name] = torch.where(value == 0, self.start[name], rows[name])
        return rows

    def _rows(self, way: Mapping[str, Tensor]) -> dict[str, Tensor]:
        moved = {name: self.start[name] + self.units[name] * value for name, value in way.items()}
        return {**self.start, **moved}

    def _losses(self, names: Sequence[str]) -> Tensor:
        """(K,) the losses where it stands, whose lowest are kept; leaves the gradients of ``names``."""
        leaves = {name: self.way[name].detach().requires_grad_(name in names) for name in self.way}
        losses = torch.zeros_like(self.loss)
        gradients = [torch.zeros_like(self.way[name]) for name in names]
        with torch.set_grad_enabled(bool(names)):
            for part in self.parts:
                found = self._pictured(part, leaves)
                losses.index_add_(0, part.place, found.detach())
                if names:
                    wanted = [leaves[name] for name in names]
                    given = torch.autograd.grad(found.sum(), wanted, allow_unused=True)
                    for total, new in zip(gradients, given, strict=True):
                        total += 0.0 if new is None else new
        for value in self.way.values():
            losses += 0.5 * PRIOR * value.square().sum(dim=1)
        sound = losses.isfinite()
        for name, gradient in zip(names, gradients, strict=True):
            gradient += PRIOR * self.way[name]
            sound = sound & gradient.isfinite().all(dim=1)
        for name, gradient in zip(names, gradients, strict=True):
            self.way[name].grad = torch.where(sound[:, None], gradient, 0.0)
        better = losses < self.loss  # never where it is NaN
        self.loss = torch.where(better, losses, self.loss)
        for name, value in self.way.items():
            self.lowest[name] = torch.where(better[:, None], value.detach(), self.lowest[name])
        return losses

    def _pictured(self, part: _Shown, way: Mapping[str, Tensor]) -> Tensor:
        """(B,) each view's share in the loss of its timestep."""
        batch = part.batch
        rows = {name: value.index_select(0, part.poses) for name, value in self._rows(way).items()}
        drawn = self.avatar.draw(
            batch.cameras, rows, batch.pose_of_view, batch.background, paired=batch.paired
        )
        colour, similarity = ops.picture_losses(drawn.output.rgb, batch.image)
        return part.weight * (SHARES[0] * colour + SHARES[1] * (1.0 - similarity))

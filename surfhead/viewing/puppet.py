"""The rig as a page drives it: which values it has, and the parameters a stance stands for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.core.components import Rig
from surfhead.core.rig_parameter import RigParameter, with_role
from surfhead.viewing.gaze import eyes_towards
from surfhead.viewing.viewpoint import Vector

AXES = "xyz"
ARKIT = re.compile(r"[a-z]+(?:[A-Z][a-z]+)+(?:_[LR])?")
MOST = 200  # values of a parameter worth a slider each; more are a mesh's vertices
TURNS = {"root": 1.6}  # radians either way, by role; the other joints:
TURN = 0.7
SHIFT = 0.1  # metres either way
STEPS = 200  # of a slider
AT_RANDOM = 3  # expressions of a random face, as on the exported page,
STRENGTH = (0.2, 0.6)  # in units of their usual range: shapes add up, and many at full strength are no face
KEPT = 64  # parameters of motions whose numbers are kept on the host


@dataclass(frozen=True)
class Control:
    """One value of a rig's parameters as a slider.

    Attributes:
        name, index: which.
        label: for people.
        role: of the parameter.
        low, high, step: of the slider, in the parameter's unit.
        usual: the most that faces mostly have of it, no more than ``high``.
    """

    name: str
    index: int
    label: str
    role: str
    low: float
    high: float
    step: float
    usual: float = 1.0


def controls_of(rig: Rig, motion: Mapping[str, Tensor]) -> dict[str, list[Control]]:
    """Every value worth a slider, by parameter; the range reaches over what ``motion`` (T, d) needs."""
    made: dict[str, list[Control]] = {}
    model = rig.linear_model()
    for name, parameter in rig.parameters().items():
        if parameter.size > MOST:
            continue
        rows = motion.get(name)
        seen = 0.0 if rows is None or not rows.numel() else 1.2 * float(rows.detach().abs().max())
        if parameter.axis_angle:
            bound = max(TURNS.get(parameter.role, TURN), seen)
        else:
            bound = max(SHIFT if parameter.role == "translation" else 1.0, seen)
        bound = float(f"{bound:.2g}")
        limit = model.limits[1] if model is not None and model.coefficients == name else 1.0
        made[name] = [
            Control(name, index, label, parameter.role, -bound, bound, 2 * bound / STEPS, min(bound, limit))
            for index, label in enumerate(_labels(name, parameter))
        ]
    return made


def random_expression(controls: Sequence[Control], lots: Random) -> dict[tuple[str, int], float]:
    """A few of the values at random strength, the others at rest, as what is held of a stance."""
    chosen = set(lots.sample(range(len(controls)), min(AT_RANDOM, len(controls))))
    return {
        (control.name, control.index): round(lots.uniform(*STRENGTH) * control.usual, 3)
        if at in chosen
        else 0.0
        for at, control in enumerate(controls)
    }


def spelt(label: str) -> str:
    """A value's name for people: blendshapes of ARKit's as ARKit spells them, others in words."""
    if ARKIT.fullmatch(label):  # such as eyeBlink_L of ICT-FaceKit
        return label.removesuffix("_L") + "Left" if label.endswith("_L") else label.replace("_R", "Right")
    return label.replace("_", " ")


def _labels(name: str, parameter: RigParameter) -> list[str]:
    size = parameter.size
    if len(parameter.labels) == size:
        return [spelt(label) for label in parameter.labels]
    if parameter.axis_angle or parameter.role == "translation":
        if size == 3:
            return [f"{name} {axis}" for axis in AXES]
        if parameter.role == "gaze" and size == 6:
            return [f"{side} eye {axis}" for side in ("left", "right") for axis in AXES]
    return [f"{name} {index + 1}" for index in range(size)]


@dataclass(frozen=True, eq=False)
class Track:
    """A motion to play; equal only to itself.

    Attributes:
        name: for people.
        parameters: rig parameter -> (T, d).
        rate: timesteps a second.
    """

    name: str
    parameters: Mapping[str, Tensor]
    rate: float = 25.0

    def __len__(self) -> int:
        return next((len(rows) for rows in self.parameters.values()), 0)


@dataclass(frozen=True)
class Stance:
    """What the rig is asked to do.

    Attributes:
        track: the motion; None is the avatar's own, as it is at that moment.
        timestep: of the motion; the nearest there is.
        held: (parameter, index) -> value that replaces the motion's.
        gaze: where the eyes turn: a point in the world, ``camera``, or None for where the motion turns them.
    """

    track: Track | None = None
    timestep: int = 0
    held: Mapping[tuple[str, int], float] = field(default_factory=dict)
    gaze: Vector | str | None = None

    def with_held(self, name: str, index: int, value: float) -> dict[tuple[str, int], float]:
        """``held`` and one more value."""
        return {**self.held, (name, index): value}


class Puppet:
    """An avatar's rig and its motion.

    Args:
        avatar: whose own motion may change while it trains.
        rate: timesteps a second of that motion.
    """

    def __init__(self, avatar: Avatar, rate: float = 25.0) -> None:
        self.avatar = avatar
        self.rate = rate
        self._kept: dict[int, tuple[Tensor, int, Tensor]] = {}

    def length(self, stance: Stance) -> int:
        """Timesteps of the stance's motion; 1 where nothing moves."""
        return max(self.avatar.timesteps if stance.track is None else len(stance.track), 1)

    def rate_of(self, stance: Stance) -> float:
        """Timesteps a second of the stance's motion."""
        return self.rate if stance.track is None else stance.track.rate

    def pose(self, stance: Stance, eye: Vector | None = None) -> dict[str, Tensor]:
        """Rig parameters, name -> (1, d), those of a motion that learns on its device; empty without a rig.

        Args:
            stance: what is asked for.
            eye: where the camera is, for eyes that look at it.
        """
        avatar = self.avatar
        if not avatar.deformer.rig_bound:
            return {}
        source = avatar.motion if stance.track is None else stance.track.parameters
        row = min(max(stance.timestep, 0), self.length(stance) - 1)
        like = avatar.background
        made = {name: self._told(rows)[row : row + 1] for name, rows in source.items()}
        target = eye if stance.gaze == "camera" else stance.gaze
        if made and not stance.held and target is None:
            return made
        known = avatar.rig.parameters()
        for (name, index), value in stance.held.items():
            if name not in known or not 0 <= index < known[name].size:
                continue
            if name not in made:
                made[name] = torch.zeros(1, known[name].size, dtype=like.dtype)
            made[name] = made[name].clone()
            made[name][0, index] = value
        if not made:
            first = next(iter(known))
            made[first] = torch.zeros(1, known[first].size, dtype=like.dtype)
        eyes = with_role(known, "gaze")
        if target is not None and not isinstance(target, str) and eyes is not None:
            made = {name: rows.to(like) for name, rows in made.items()}
            point = torch.tensor(target, dtype=like.dtype, device=like.device)
            made[eyes] = eyes_towards(avatar.rig, made, point)
        return made

    def _told(self, rows: Tensor) -> Tensor:
        """(T, d) a parameter's motion as the host knows it, which then waits for no GPU.

        One that learns is read where it lies: steps replayed from a graph leave no trace to tell it by, nor
        does what changes a tensor of inference mode.
        """
        dtype = self.avatar.background.dtype
        if not rows.is_cuda or rows.requires_grad or rows.is_inference():
            return rows.detach().to(dtype)
        kept = self._kept.get(id(rows))
        if kept is None or kept[0] is not rows or kept[1] != rows._version:
            if len(self._kept) >= KEPT:
                self._kept.clear()
            kept = self._kept[id(rows)] = (rows, rows._version, rows.detach().to("cpu", dtype))
        return kept[2]

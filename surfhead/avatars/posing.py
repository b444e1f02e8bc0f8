"""Poses of a rig as users write them: by timestep, by name, by label; checked before anything is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from surfhead.core.components import Rig
from surfhead.core.errors import OptionError, ShapeError, unknown_name
from surfhead.core.rig_parameter import RigParameter
from surfhead.core.types import Cameras, check_all_finite, check_finite, check_shape
from surfhead.files.given import instance_of

WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
PoseValue = Tensor | Sequence[float] | Sequence[Sequence[float]] | Mapping[str, float]
"""One rig parameter: (d,) or (P, d) numbers, or label -> number for those that have labels."""


def pose_of(
    rig: Rig, base: Mapping[str, Tensor], given: Mapping[str, PoseValue], like: Tensor
) -> dict[str, Tensor]:
    """All rig parameters, those given over those of ``base``.

    Args:
        rig: whose parameters they are.
        base: name -> (P, d) of the poses that are changed; what is missing is zero.
        given: name -> what replaces it; by label, only these values are replaced.
        like: gives device and dtype.

    Returns:
        name -> (P, d), the same P in each.

    Raises:
        UnknownNameError: the rig has no such parameter, or the parameter no such label.
        ShapeError: numbers that do not fit the parameter or each other, or are not finite.
    """
    known = rig.parameters()
    count = max((len(rows) for rows in base.values()), default=1)
    whole = {name: base.get(name, like.new_zeros(count, p.size)) for name, p in known.items()}
    rows: dict[str, Tensor] = {}
    for name, value in given.items():
        if name not in known:
            raise unknown_name("rig parameter", name, known, "Rename or drop it.")
        if isinstance(value, Mapping):
            rows[name] = _labelled(name, known[name], value, whole[name])
        else:
            rows[name] = _numbers(name, value, like, like.device)
    return _alike({**whole, **checked(rig, rows, like)})


def checked(rig: Rig, given: Mapping[str, PoseValue], like: Tensor) -> dict[str, Tensor]:
    """Rig parameters name -> (d,) or (P, d) as name -> (P, d) of the dtype of ``like``.

    They stay on the host if all of them are there, where looking at them waits for nothing.

    Raises:
        UnknownNameError: the rig has no such parameter.
        ShapeError: a wrong shape, no numbers, or NaN or infinity.
    """
    known = rig.parameters()
    found = {}
    for name, value in given.items():
        if name not in known:
            raise unknown_name("rig parameter", name, known, "Rename or drop it.")
        value = _numbers(name, value, like, None if isinstance(value, Tensor) else torch.device("cpu"))
        rows = value[None] if value.ndim == 1 else value
        if rows.ndim != 2 or rows.shape[1] != known[name].size:
            check_shape(name, rows, None, known[name].size)
        found[name] = rows
    if any(rows.device.type != "cpu" for rows in found.values()):
        found = dict(zip(found, on_device([*found.values()], like), strict=True))
    check_all_finite(found)
    return found


def on_device(values: Sequence[Tensor], like: Tensor) -> list[Tensor]:
    """Tensors on the device and of the dtype of ``like``.

    Those that go from the host to a GPU travel together, without gradients, and nothing waits for them.
    """
    if not like.is_cuda:
        return [value.to(like) for value in values]
    host = [value.detach() for value in values if not value.is_cuda]
    sizes = [value.numel() for value in host]
    there: Iterator[Tensor] = iter(())
    if host:
        packed = torch.empty(sum(sizes), dtype=like.dtype, pin_memory=True)
        torch.cat([value.reshape(-1) for value in host], out=packed)
        there = iter(torch.split(packed.to(like.device, non_blocking=True), sizes))
    return [value.to(like) if value.is_cuda else next(there).view(value.shape) for value in values]


def same_count(parameters: Mapping[str, Tensor]) -> None:
    """Raise ShapeError unless all parameters have the same number of poses."""
    if len({rows.shape[0] for rows in parameters.values()}) > 1:
        counts = ", ".join(f"{name} {len(rows)}" for name, rows in parameters.items())
        raise ShapeError(
            f"The rig parameters have different numbers of poses: {counts}.",
            "Expected the same number P of rows in each.",
            "Repeat the single ones with expand(P, -1).",
        )


def timesteps_of(motion: Mapping[str, Tensor], timesteps: object, count: int) -> Tensor:
    """(P,) int64 indices into a motion of ``count`` timesteps.

    Raises:
        OptionError: one is outside of it, or no whole number.
    """
    try:
        index = torch.as_tensor(timesteps).reshape(-1)
    except (TypeError, ValueError, RuntimeError) as error:
        raise _no_timesteps(timesteps) from error
    if index.dtype not in WHOLE and index.numel():  # booleans would be a mask, and are not meant as 0 and 1
        raise _no_timesteps(timesteps)
    outside = [i for i in index.tolist() if not 0 <= i < count]
    if motion and (outside or not len(index)):
        raise OptionError(
            f"Timestep {outside[0] if outside else 'of none'} is outside the avatar's motion.",
            f"It has timesteps 0 to {count - 1}.",
            "Choose one of these or give rig parameters.",
        )
    return index.to(next((rows.device for rows in motion.values()), None), torch.int64)


def _no_timesteps(given: object) -> OptionError:
    return OptionError(
        f'Timesteps "{given}" are no whole numbers.',
        "Expected an index into the avatar's motion, integers (P,), or rig parameters by name.",
        "Give such as 3, torch.arange(8) or avatar.pose(jaw=[0.3, 0, 0]).",
    )


def cameras_of(given: object) -> Cameras:
    """``given``, checked. Raises ShapeError for anything but cameras, and for some that cannot draw."""
    expected = "a surfhead.Cameras, which holds any number of them"
    remedy = "surfhead.orbit makes some; cameras[0] is the first of them, as a batch of one."
    return instance_of(given, Cameras, "cameras", expected, remedy, ShapeError).validate()


@dataclass(frozen=True)
class _Passed:
    """Cameras of the host that were found right, as they were then, and the same where they are drawn."""

    given: Cameras
    moved: Cameras
    stream: int  # others would not wait until they have arrived

    def holds(self, cameras: Cameras, like: Tensor) -> bool:
        """Whether these are the same numbers, wanted at the same place."""
        mine = (self.given.camera_from_world, self.given.intrinsics)
        others = (cameras.camera_from_world, cameras.intrinsics)
        place = self.moved.camera_from_world
        return (
            (place.device, place.dtype, self.stream) == (like.device, like.dtype, _stream(like))
            and _frame(self.given) == _frame(cameras)
            and all(a.dtype == b.dtype and a.device == b.device for a, b in zip(mine, others, strict=True))
            and all(torch.equal(a, b) for a, b in zip(mine, others, strict=True))
        )


def _stream(like: Tensor) -> int:
    return int(torch.cuda.current_stream(like.device).cuda_stream) if like.is_cuda else 0


def _frame(cameras: Cameras) -> tuple[object, ...]:
    return type(cameras.height), cameras.height, type(cameras.width), cameras.width, cameras.near


class CameraCheck:
    """Checks cameras and takes them to a device; those of the host once, as long as they are the last."""

    def __init__(self) -> None:
        self._last: _Passed | None = None

    def __call__(self, given: object, like: Tensor) -> Cameras:
        """``given`` on the device and of the dtype of ``like``; errors as of ``cameras_of``."""
        last = self._last
        if last is not None and type(given) is Cameras and last.holds(given, like):
            return last.moved
        cameras = cameras_of(given)  # before it moves: looking at a GPU's would wait
        rows = (cameras.camera_from_world, cameras.intrinsics)
        # what others' own kinds hold beside, nothing here compares
        if type(cameras) is not Cameras or any(value.device.type != "cpu" for value in rows):
            return cameras.to(like.device, like.dtype)
        poses, lens = (value.detach().clone() for value in rows)
        kept = replace(cameras, camera_from_world=poses, intrinsics=lens)
        poses, lens = on_device([poses, lens], like)
        moved = replace(cameras, camera_from_world=poses, intrinsics=lens)
        self._last = _Passed(kept, moved, _stream(like))
        return moved


@cache
def _in_order(views: int, poses: int, device: torch.device) -> Tensor:
    """(B,) each view's own pose, or the only one."""
    return (torch.arange(views) % poses).to(device)


def poses_of_views(given: Tensor | Sequence[int] | None, views: int, poses: int, like: Tensor) -> Tensor:
    """(B,) int64: the pose that each view shows, by default its own or the only one.

    Raises:
        ShapeError: not one whole number a view, or one without a pose (of a GPU's, the kernel says so).
    """
    if given is None:
        if poses not in (1, views):
            raise ShapeError(
                f"{poses} poses do not fit {views} cameras.",
                "Expected one pose, or one for each camera.",
                "Give pose_of_view.",
            )
        return _in_order(views, poses, like.device)
    try:
        index = torch.as_tensor(given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise _no_poses(given, poses) from error
    check_shape("pose_of_view", index, views)
    if (index.dtype not in WHOLE and views) or (
        not index.is_cuda and views and not 0 <= index.min() <= index.max() < poses
    ):
        raise _no_poses(index.tolist(), poses)
    return index.to(like.device, torch.int64)


def _no_poses(given: object, poses: int) -> ShapeError:
    return ShapeError(
        f'"pose_of_view" is {given}.',
        f"Expected whole numbers from 0 to {poses - 1}, as there are {poses} poses.",
        "Check how views and poses were paired.",
    )


def factors_of(given: Tensor | Sequence[float] | None, count: int, like: Tensor) -> Tensor | None:
    """(N,) factors of the surfels' opacities. Raises ShapeError for another shape, and for NaN."""
    if given is None:
        return None
    factors = _numbers("opacity_scale", given, like, like.device)
    check_shape("opacity_scale", factors, count)
    if not factors.is_cuda:
        check_finite("opacity_scale", factors)
    return factors


def background_of(given: Tensor | Sequence[float] | None, views: int, usual: Tensor) -> Tensor:
    """(B, 3) RGB, where it was given; by default the avatar's. ShapeError for another shape, and for NaN."""
    if given is None:
        return usual.expand(views, -1)
    colour = _numbers("background", given, usual, None if isinstance(given, Tensor) else torch.device("cpu"))
    if colour.ndim == 2 and len(colour) == views:
        check_shape("background", colour, views, 3)
    else:
        check_shape("background", colour, 3)
    if not colour.is_cuda:
        check_finite("background", colour)
    return colour.expand(views, -1)


def _alike(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Single rows repeated as often as the others have rows."""
    count = max((len(rows) for rows in parameters.values()), default=1)
    repeated = {name: rows.expand(count, -1) if len(rows) == 1 else rows for name, rows in parameters.items()}
    same_count(repeated)
    return repeated


def _numbers(name: str, value: Any, like: Tensor, device: torch.device | None) -> Tensor:
    """A tensor of the dtype of ``like``; with a ``device`` of None a tensor stays where it is."""
    try:
        return torch.as_tensor(value, dtype=like.dtype, device=device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ShapeError(
            f'"{name}" is no table of numbers.',
            "Expected the parameter's values, or one row of them for each pose.",
            "Check how it was built.",
        ) from error


def _labelled(name: str, parameter: RigParameter, values: Mapping[str, float], base: Tensor) -> Tensor:
    """``base`` (P, d) with the labelled columns replaced."""
    rows = base.clone()
    for label, value in values.items():
        if label not in parameter.labels:
            remedy = "Rename or drop it." if parameter.labels else "Give all its values by their places."
            raise unknown_name(f'value of rig parameter "{name}"', label, parameter.labels, remedy)
        shown = f"{name}: {label}"
        column = _numbers(shown, value, base, base.device)
        if column.ndim:
            check_shape(shown, column, len(rows))
        rows[:, parameter.labels.index(label)] = column
    return rows

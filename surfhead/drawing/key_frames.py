"""Key frames: where a camera is and which pose the head has at some moments, and everything in between.

A JSON file::

    {"fps": 25,
     "frames": [{"time": 0.0,
                 "camera": {"camera_from_world": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1]],
                            "fov": 25.0},
                 "pose": {"jaw": [0.1, 0, 0]}},
                ...]}

Times are seconds and ascend; ``camera_from_world`` is rigid with OpenCV axes, metres; ``fov`` is the field of
view in degrees of the picture's shorter side. Instead of ``pose``, a frame may name a ``timestep`` of the
avatar's own motion, or all frames may leave both out. Names a pose lacks are zero.

In between, camera centres, fields of view and plain parameters follow monotone cubic curves (PCHIP, Fritsch
and Butland 1984), which never swing beyond the frames; rotations, the camera's and those of parameters that
are rotation vectors, take the shortest turn at even speed (slerp). Where all frames name timesteps, the
motion plays from one to the next. Before the first and after the last frame nothing moves.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pydantic
import torch
from scipy.interpolate import PchipInterpolator
from scipy.spatial.transform import Rotation, Slerp
from torch import Tensor

from surfhead.core.errors import DataError, cause, unknown_name
from surfhead.core.rig_parameter import RigParameter
from surfhead.core.types import Cameras
from surfhead.drawing.camera_path import intrinsics_of
from surfhead.files.bounds import read_json
from surfhead.files.writing import write_text

RIGID = 1e-3  # largest deviation of a rotation times its transpose from the identity, as in Cameras.validate
wrong = partial(DataError.of, "Key frames", expected="a JSON file", remedy="Mend it.")
SETTINGS = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
FASTEST = 1000.0  # pictures a second
LONGEST = 86400.0  # seconds
MOST = 1_000_000  # pictures of a path
Entry = Annotated[float, pydantic.Field(ge=-1e6, le=1e6)]
Row = tuple[Entry, Entry, Entry, Entry]
Value = Annotated[float, pydantic.Field(ge=-1e3, le=1e3)]


class KeyCamera(pydantic.BaseModel):
    """A camera of a key frame: ``camera_from_world`` in four rows, and ``fov`` in degrees."""

    model_config = SETTINGS
    camera_from_world: tuple[Row, Row, Row, Row]
    fov: Annotated[float, pydantic.Field(ge=0.1, le=179.0)]


class KeyFrame(pydantic.BaseModel):
    """One moment: a time in seconds, a camera, and a pose or a timestep or neither."""

    model_config = SETTINGS
    time: Annotated[float, pydantic.Field(ge=-LONGEST, le=LONGEST)]
    camera: KeyCamera
    pose: dict[str, tuple[Value, ...]] | None = None
    timestep: Annotated[int, pydantic.Field(ge=0)] | None = None


class _Document(pydantic.BaseModel):
    model_config = SETTINGS
    fps: Annotated[float, pydantic.Field(gt=0.0, le=FASTEST)] = 25.0
    frames: Annotated[tuple[KeyFrame, ...], pydantic.Field(min_length=1, max_length=10_000)]


@dataclass(frozen=True)
class KeyFrames:
    """Key frames in the order of their times; making one checks that they fit together.

    Attributes:
        frames: one or more, times ascending.
        fps: pictures a second they are meant to be shown at.
        name: what messages call them, such as the file.

    Raises:
        DataError: times that do not ascend, a camera that is not rigid, or a pose in some frames only.
    """

    frames: tuple[KeyFrame, ...]
    fps: float = 25.0
    name: str = "key frames"

    def __post_init__(self) -> None:
        for number, frame in enumerate(self.frames):
            if number and not frame.time > self.frames[number - 1].time:
                raise self._error(
                    number, f"is at {frame.time:g} s, not after the one before", "ascending times"
                )
            if frame.pose is not None and frame.timestep is not None:
                raise self._error(number, "has a pose and a timestep", "one of the two")
            if _posed(frame) != _posed(self.frames[0]):
                raise self._error(
                    number,
                    f"has {'a' if _posed(frame) else 'no'} pose or timestep, unlike the first",
                    "one in every frame, or in none",
                )
            matrix = np.array(frame.camera.camera_from_world)
            rotation = matrix[:3, :3]
            rigid = np.abs(rotation @ rotation.T - np.eye(3)).max() < RIGID and np.linalg.det(rotation) > 0
            if not rigid or np.abs(matrix[3] - [0, 0, 0, 1]).max() > RIGID:
                raise self._error(
                    number,
                    "has a camera that is not rigid",
                    "a rotation and a translation in metres above the row 0, 0, 0, 1",
                )

        if self.duration * self.fps > MOST:
            raise DataError(
                f'"{self.name}" asks for {self.duration * self.fps:.0f} pictures.',
                f"Expected at most {MOST}.",
                "Lower fps, or let its times lie closer together.",
            )

    def _error(self, number: int, what: str, expected: str) -> DataError:
        return DataError.of(f"Key frame {number} of", self.name, what, expected, "Mend this key frame.")

    @classmethod
    def read(cls, path: Path) -> KeyFrames:
        """The key frames of a JSON file. Raises DataError naming the file and the value that is wrong."""
        try:
            content = read_json(path, 1 << 26)
        except FileNotFoundError as error:
            raise wrong(path, "do not exist", remedy="Check the path.") from error
        except (OSError, ValueError, RecursionError) as error:
            raise wrong(path, f"cannot be read: {cause(error)}") from error
        return cls.from_table(content, str(path))

    @classmethod
    def from_table(cls, content: Any, name: str = "key frames") -> KeyFrames:
        """Key frames from the decoded JSON. Raises DataError naming the value that is wrong."""
        try:
            document = _Document.model_validate(content)
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "the file"
            raise DataError(
                f'"{place}" of "{name}" is wrong: {first["msg"]}.',
                'Expected {"fps": 25, "frames": [{"time": seconds, "camera": {"camera_from_world": 4x4, '
                '"fov": degrees}, "pose": {name: [values]}}]}, or "timestep" instead of "pose".',
                "Mend this value.",
            ) from error
        return cls(document.frames, document.fps, name)

    def as_table(self) -> dict[str, Any]:
        """What ``from_table`` takes: plain dictionaries, lists and numbers."""
        document = _Document(fps=self.fps, frames=self.frames)
        return document.model_dump(mode="json", exclude_none=True)

    def write(self, path: Path) -> None:
        """Write the JSON file; folders are made."""
        write_text(path, json.dumps(self.as_table(), indent=1))

    def validate(self, known: Mapping[str, RigParameter], timesteps: int) -> KeyFrames:
        """Return self if an avatar can show them.

        Args:
            known: its rig's parameters.
            timesteps: number of timesteps of its motion.

        Raises:
            UnknownNameError: a pose names what the rig has not.
            DataError: a parameter of another size, or a timestep outside the motion.
        """
        for number, frame in enumerate(self.frames):
            if frame.timestep is not None and frame.timestep >= timesteps:
                raise self._error(
                    number,
                    f"is of timestep {frame.timestep}",
                    f"timesteps 0 to {timesteps - 1}" if timesteps else "none: the avatar has no motion",
                )
            for name, values in (frame.pose or {}).items():
                if name not in known:
                    raise unknown_name(
                        f'rig parameter of key frame {number} of "{self.name}"',
                        name,
                        known,
                        "Rename or drop it.",
                    )
                if len(values) != known[name].size:
                    raise self._error(number, f'has {len(values)} values of "{name}"', str(known[name].size))
        return self

    @property
    def posed(self) -> bool:
        """Whether the frames say how the head is posed."""
        return _posed(self.frames[0])

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the last."""
        return self.frames[-1].time - self.frames[0].time

    def times(self, count: int | None = None) -> np.ndarray:
        """Times of the pictures, seconds: ``count`` evenly spread, by default those that ``fps`` asks for."""
        if count is None:
            count = 1 + math.floor(self.duration * self.fps + 1e-6)
            return self.frames[0].time + np.arange(count) / self.fps
        return np.linspace(self.frames[0].time, self.frames[-1].time, count)

    def cameras(self, times: Sequence[float] | np.ndarray, *, height: int, width: int) -> Cameras:
        """The cameras at some times, float32, for pictures of ``height`` by ``width`` pixels."""
        keys = np.array([frame.time for frame in self.frames])
        matrices = np.array([frame.camera.camera_from_world for frame in self.frames])
        turns = matrices[:, :3, :3]
        centres = -np.einsum("kji,kj->ki", turns, matrices[:, :3, 3])
        rotation = _slerp(keys, Rotation.from_matrix(turns), times).as_matrix()
        centre = _cubic(keys, centres, times)
        fov = _cubic(keys, np.array([[frame.camera.fov] for frame in self.frames]), times)[:, 0]
        pose = np.tile(np.eye(4), (len(rotation), 1, 1))
        pose[:, :3, :3] = rotation
        pose[:, :3, 3] = -np.einsum("tij,tj->ti", rotation, centre)
        lenses = [intrinsics_of(degrees, height, width) for degrees in fov.tolist()]
        return Cameras(torch.from_numpy(pose).float(), torch.stack(lenses).float(), height, width)

    def poses(
        self,
        times: Sequence[float] | np.ndarray,
        known: Mapping[str, RigParameter],
        motion: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        """The rig parameters at some times, name -> (T, size) float32; empty without poses.

        Args:
            times: seconds.
            known: the rig's parameters.
            motion: name -> (M, size), which timesteps refer to.
        """
        if not self.posed:
            return {}
        keys = np.array([frame.time for frame in self.frames])
        own = {name: rows.detach().double().cpu().numpy() for name, rows in motion.items()}
        steps = [frame.timestep for frame in self.frames if frame.timestep is not None]
        if len(steps) == len(self.frames):
            moments = np.interp(np.asarray(times, dtype=np.float64), keys, steps)
            return {
                name: _interpolated(known[name], np.arange(len(rows)), rows, moments)
                for name, rows in own.items()
            }
        told = [own if frame.pose is None else frame.pose for frame in self.frames]
        names = [name for name in known if any(name in values for values in told)] or list(known)[:1]
        return {
            name: _interpolated(
                known[name],
                keys,
                np.array([_value(frame, name, known[name].size, own) for frame in self.frames]),
                times,
            )
            for name in names
        }


def _posed(frame: KeyFrame) -> bool:
    return frame.pose is not None or frame.timestep is not None


def _value(frame: KeyFrame, name: str, size: int, motion: Mapping[str, np.ndarray]) -> np.ndarray:
    if frame.timestep is not None:
        return motion[name][frame.timestep] if name in motion else np.zeros(size)
    return np.array((frame.pose or {}).get(name, (0.0,) * size))


def _interpolated(
    parameter: RigParameter, keys: np.ndarray, rows: np.ndarray, times: Sequence[float] | np.ndarray
) -> Tensor:
    """(T, size) float32 values of one rig parameter between rows (K, size) at ``keys``."""
    if parameter.axis_angle:
        joints = [rows[:, start : start + 3] for start in range(0, rows.shape[1], 3)]
        turned = [_slerp(keys, Rotation.from_rotvec(joint), times).as_rotvec() for joint in joints]
        return torch.from_numpy(np.concatenate(turned, axis=1)).float()
    return torch.from_numpy(_cubic(keys, rows, times)).float()


def _cubic(keys: np.ndarray, rows: np.ndarray, times: Sequence[float] | np.ndarray) -> np.ndarray:
    """(T, d) rows (K, d) joined by monotone cubic curves, held outside the keys."""
    at = np.clip(np.asarray(times, dtype=np.float64), keys[0], keys[-1])
    if len(keys) == 1:
        return np.repeat(rows, len(at), axis=0)
    curves: np.ndarray = PchipInterpolator(keys, rows, axis=0)(at)
    return curves


def _slerp(keys: np.ndarray, rotations: Rotation, times: Sequence[float] | np.ndarray) -> Rotation:
    """T rotations, from key to key by the shortest turn, held outside the keys."""
    at = np.clip(np.asarray(times, dtype=np.float64), keys[0], keys[-1])
    if len(keys) == 1:
        return rotations[[0] * len(at)]
    return Slerp(keys, rotations)(at)

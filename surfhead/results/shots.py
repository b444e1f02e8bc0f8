"""What a series of pictures shows: a camera and a pose for each, along a path or as the data has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.avatars.rendering import Rendering
from surfhead.core.errors import DataError, OptionError, unknown_name
from surfhead.core.scene import Scene
from surfhead.core.types import Cameras
from surfhead.data.feed import background_of, cameras_of
from surfhead.drawing.camera_path import UP, orbit, spiral
from surfhead.drawing.channels import PARTS, check_channels, pictures_of
from surfhead.drawing.key_frames import KeyFrames
from surfhead.drawing.light_file import MovingLight
from surfhead.drawing.pictures import Coming, arriving
from surfhead.drawing.scalars import Scale
from surfhead.drawing.sight import Sight, seen_cameras
from surfhead.runs.run import Run

PATHS = {"orbit": orbit, "spiral": spiral}
FRAMES = 60  # pictures of a path round an avatar without motion
RATE = 25.0  # pictures a second
SIZE = 512  # pixels of a path's pictures, the shorter side


@dataclass(frozen=True)
class Shots:
    """M pictures to be taken.

    Attributes:
        cameras: M cameras.
        poses: (M,) timesteps of the avatar's own motion, or rig parameters name -> (M, size).
        rate: pictures a second.
        background: (3,) RGB in [0, 1]; None: the avatar's own.
        truth: gives the true picture (H, W, 3) in [0, 1] of shot i; None where there is none.
        light: what a relightable avatar is drawn under; None: the light it has learnt.
    """

    cameras: Cameras
    poses: Tensor | Mapping[str, Tensor]
    rate: float = RATE
    background: Tensor | None = None
    truth: Callable[[int], Tensor] | None = None
    light: MovingLight | None = None

    def __len__(self) -> int:
        return len(self.cameras)

    def pose(self, index: int) -> Tensor | dict[str, Tensor]:
        """The pose of one shot, as ``Avatar.render`` takes it."""
        if isinstance(self.poses, Mapping):
            return {name: rows[index : index + 1] for name, rows in self.poses.items()}
        return self.poses[index : index + 1]


def along_path(
    avatar: Avatar,
    path: str,
    *,
    height: int = SIZE,
    width: int = SIZE,
    frames: int | None = None,
    timestep: int | None = None,
    turn: float | None = None,
    elevation: float | None = None,
    field_of_view: float | None = None,
    up: tuple[float, float, float] | None = None,
    sight: Sight | None = None,
) -> Shots:
    """Shots along a path round the avatar, or along key frames.

    Args:
        avatar: what is looked at.
        path: ``orbit``, ``spiral`` or a JSON file of key frames.
        height, width: pixels.
        frames: how many; by default as many as the motion, or the key frames, have.
        timestep: the pose all show; by default the avatar's motion plays.
        turn, elevation, field_of_view, up: of orbit and spiral, as of ``camera_path``.
        sight: swing within this instead of the orbit's turn; its elevation and up are its own.

    Raises:
        UnknownNameError: the path is neither known nor a file.
        OptionError: a setting that key frames already say, or a value out of range.
        DataError: damaged key frames, or such that the avatar cannot show.
    """
    if path in PATHS:
        poses = _playing(avatar, timestep, frames)
        if sight is not None and len(poses) and avatar.timesteps:
            lens = {} if field_of_view is None else {"field_of_view": field_of_view}
            return Shots(seen_cameras(avatar, sight, poses, height=height, width=width, **lens), poses)
        given = {"turn": turn, "elevation": elevation, "field_of_view": field_of_view, "up": up or UP}
        chosen = {name: value for name, value in given.items() if value is not None}
        cameras = PATHS[path](avatar, len(poses), height=height, width=width, **chosen)  # type: ignore[arg-type]
        return Shots(cameras, poses)
    if not path.endswith(".json") and not Path(path).is_file():
        raise unknown_name("path", path, [*PATHS, "FILE.json"], "Choose one of these with --path.")
    keys = KeyFrames.read(Path(path)).validate(avatar.rig.parameters(), avatar.timesteps)
    told = {"turn": turn, "elevation": elevation, "fov": field_of_view, "up": up}
    told["timestep"] = timestep if keys.posed else None
    for name, value in told.items():
        if value is not None:
            raise OptionError(
                f'"{name}" is {value}, but key frames say themselves what they show.',
                "",
                f"Leave out --{name}, or choose the path orbit or spiral.",
            )
    times = keys.times(frames)
    cameras = keys.cameras(times, height=height, width=width)
    moving = keys.poses(times, avatar.rig.parameters(), avatar.motion) if keys.posed else {}
    return Shots(cameras, moving or _playing(avatar, timestep, len(times)), keys.fps)


def of_split(
    run: Path,
    split: str,
    *,
    height: int | None = None,
    width: int | None = None,
    side: int | None = None,
    data: str | None = None,
) -> Shots:
    """The views of a split of a run's data, with their true pictures.

    Args:
        run: run folder.
        split: ``train``, ``val``, ``test`` or ``all``.
        height, width, side: as of ``resized``.
        data: where the run's data are now; None: where they were.

    Raises:
        UnknownNameError: there is no such split. DataError: it is empty.
        OptionError: another shape than the data's.
    """
    scene = Run(run, data).scene
    rows = scene.views.of(split)
    if len(rows) == 0:
        raise DataError(
            f'The data of "{run}" has no views in split "{split}".',
            "",
            "Choose another split, or leave --split out for an orbit.",
        )
    return of_views(scene, rows, height=height, width=width, side=side)


def of_views(
    scene: Scene,
    rows: np.ndarray,
    *,
    height: int | None = None,
    width: int | None = None,
    side: int | None = None,
) -> Shots:
    """Some views of a scene, with their true pictures; sizes as of ``resized``."""
    cameras = resized(cameras_of(scene, rows, "cpu"), height, width, side)
    size = (cameras.width, cameras.height)

    def truth(index: int) -> Tensor:
        image = scene.picture(int(rows[index])).image
        if size != (image.shape[1], image.shape[0]):
            image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
        return torch.from_numpy(np.array(image)).float() / 255.0

    timesteps = torch.as_tensor(scene.views.timestep[rows])
    return Shots(cameras, timesteps, background=background_of(scene), truth=truth)


def resized(
    cameras: Cameras, height: int | None = None, width: int | None = None, side: int | None = None
) -> Cameras:
    """The same views in more or fewer pixels.

    Args:
        cameras: of any size.
        height, width: pixels; one follows from the other, neither leaves the cameras as they are.
        side: pixels of the shorter side, where neither is given.

    Raises:
        OptionError: an empty picture, or another shape than before.
    """
    for name, value in (("height", height), ("width", width), ("size", side)):
        if value is not None and value < 1:
            raise OptionError(f'"{name}" is {value}.', "Expected at least 1.", f"Mend --{name}.")
    if height is None and width is None:
        if side is None:
            return cameras
        height, width = (side, None) if cameras.height <= cameras.width else (None, side)
    if height is None:
        height = max(round((width or 1) * cameras.height / cameras.width), 1)
    if width is None:
        width = max(round(height * cameras.width / cameras.height), 1)
    if abs(width * cameras.height / cameras.width - height) > 1.0:
        raise OptionError(
            f'"width" {width} and "height" {height} have another shape than the data\'s views.',
            f"These have {cameras.width} x {cameras.height} pixels.",
            "Give --width or --height; the other follows.",
        )
    scale = torch.tensor([width / cameras.width, height / cameras.height, 1.0])[:, None]
    intrinsics = cameras.intrinsics * scale.to(cameras.intrinsics)
    return replace(cameras, intrinsics=intrinsics, height=height, width=width)


def drawn(
    avatar: Avatar, shots: Shots, channels: Sequence[str], scale: Scale | None = None
) -> Iterator[tuple[Rendering, dict[str, Tensor]]]:
    """Take the shots in turn: what was rendered, and channel -> (H, W, 3) in [0, 1].

    Without a ``scale`` all depths share the range of the first shot that shows anything. Errors are those
    of ``paint``, and OptionError where an avatar without light of its own is to be lit. Afterwards it has its
    own light again.
    """
    check_channels(channels, shots.truth is not None)
    try:
        yield from _taken(avatar, shots, channels, scale or Scale(hold=True))
    finally:
        if shots.light is not None and avatar.appearance.relightable:
            avatar.appearance.relight(None)


def in_bytes(
    avatar: Avatar, shots: Shots, channels: Sequence[str], scale: Scale | None = None
) -> Iterator[tuple[Rendering, dict[str, np.ndarray]]]:
    """As ``drawn``, with pictures (H, W, 3) uint8; a GPU draws the next while one is looked at."""
    taken = drawn(avatar, shots, channels, scale)
    return arriving(
        _Shown(rendering, {name: Coming.of(colours) for name, colours in shown.items()})
        for rendering, shown in taken
    )


@dataclass(frozen=True)
class _Shown:
    """A shot whose pictures are on their way."""

    rendering: Rendering
    coming: Mapping[str, Coming]

    @property
    def drawn(self) -> bool:
        return all(coming.drawn for coming in self.coming.values())

    def wait(self) -> tuple[Rendering, dict[str, np.ndarray]]:
        return self.rendering, {name: coming.wait() for name, coming in self.coming.items()}


def _taken(
    avatar: Avatar, shots: Shots, channels: Sequence[str], scale: Scale
) -> Iterator[tuple[Rendering, dict[str, Tensor]]]:
    for index in range(len(shots)):
        camera = shots.cameras[index]
        if shots.light is not None:
            avatar.appearance.relight(shots.light.at(index / shots.rate))
        rendering = avatar.render(
            camera,
            shots.pose(index),
            background=shots.background,
            parts=any(name in PARTS for name in channels),
        )
        truth = shots.truth(index) if shots.truth is not None and "error" in channels else None
        yield (
            rendering,
            pictures_of(
                avatar,
                rendering,
                camera,
                channels,
                background=shots.background,
                truth=truth,
                scale=scale,
            ),
        )


def geometry_of(rendering: Rendering, camera: Cameras) -> dict[str, np.ndarray]:
    """The first view's geometry as float32 arrays, with the camera that saw it.

    ``normal`` (H, W, 3) unit normals in camera space (OpenCV axes), ``depth`` and ``median_depth`` (H, W)
    camera z in metres, both 0 where nothing was drawn; ``alpha`` (H, W); ``camera_from_world`` (4, 4) and
    ``intrinsics`` (3, 3).
    """
    output = rendering.output
    arrays = {
        "normal": torch.nn.functional.normalize(output.normal[0], dim=-1),
        "depth": output.depth[0],
        "median_depth": output.median_depth[0],
        "alpha": output.alpha[0],
        "camera_from_world": camera.camera_from_world[0],
        "intrinsics": camera.intrinsics[0],
    }
    return {name: value.detach().float().cpu().numpy() for name, value in arrays.items()}


def _playing(avatar: Avatar, timestep: int | None, frames: int | None) -> Tensor:
    """(M,) the timestep each picture shows: the one that was chosen, or the motion, over and over."""
    if timestep is not None and not 0 <= timestep < max(avatar.timesteps, 1):
        raise OptionError(
            f"Timestep {timestep} is outside the avatar's motion.",
            f"It has timesteps 0 to {max(avatar.timesteps, 1) - 1}.",
            "Choose one of these with --timestep.",
        )
    if timestep is not None or avatar.timesteps == 0:
        return torch.full((max(FRAMES if frames is None else frames, 0),), timestep or 0)
    return torch.arange(max(avatar.timesteps if frames is None else frames, 0)) % avatar.timesteps

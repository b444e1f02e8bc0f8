"""The pictures of a re-enactment's sheet: driver and avatar at the same moments, by one camera.

The camera stands in the same place relative to both heads, which are found by where their motion takes them
on average. Where the driver is a data set, that is one of its cameras, and the avatar is drawn by it; where
it is an avatar, it is drawn by the camera of the re-enactment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.core.errors import SurfheadError
from surfhead.core.scene import Scene
from surfhead.core.types import Cameras
from surfhead.data.feed import background_of, cameras_of
from surfhead.drawing.camera_path import orbit
from surfhead.drawing.channels import paint
from surfhead.drawing.pictures import to_bytes
from surfhead.results.drivers import Driver
from surfhead.runs.run import Run

SAMPLES = 16  # timesteps by which is found where the head is


@dataclass(frozen=True)
class Pictured:
    """Pictures (H, W, 3) uint8 of some moments.

    Attributes:
        driver: none where nothing shows it.
        avatar: none where those of the re-enactment do.
    """

    driver: list[np.ndarray] = field(default_factory=list)
    avatar: list[np.ndarray] = field(default_factory=list)


def own_motion(run: Run, avatar: Avatar, *, pictured: bool) -> Driver:
    """An avatar's own motion as a driver, with its data where they are there and pictures are wanted."""
    scene = None
    if pictured:
        try:
            scene = run.scene
        except (SurfheadError, OSError):
            scene = None  # the avatar alone is shown
    return Driver(str(run.folder), avatar.motion, avatar.rig.name, avatar.identity, scene=scene)


def pictures_of_driver(
    motion: Driver,
    source: Path | None,
    avatar: Avatar,
    poses: Mapping[str, Tensor],
    moments: list[int],
    cameras: list[Cameras],
    camera: int | None,
    device: str,
) -> Pictured:
    """The driver and the avatar at some moments, by one camera relative to both.

    Args:
        motion: the driver.
        source: where it was read from; None: the avatar's own motion.
        avatar, poses: what follows it, and how.
        moments: timesteps.
        cameras: the re-enactment's at these.
        camera: of a data set's cameras the one preferred.
        device: where a driver that is a run is drawn.
    """
    if motion.scene is not None:
        scene = motion.scene
        rows = views_of(scene, moments, camera, avatar.rig.rest().topology.front)
        if not rows:
            return Pictured()
        away = centre_of(avatar, poses) - centre_of(avatar, motion.parameters)
        drawn = []
        for row, moment in zip(rows, moments, strict=True):
            seen = moved(cameras_of(scene, [row], "cpu"), away)
            shown = paint(avatar, seen, at(poses, moment), ["rgb"], background=background_of(scene))
            drawn.append(to_bytes(shown["rgb"]))
        return Pictured([scene.frame(row).image for row in rows], drawn)
    if source is not None and source.is_dir():
        other = Run(source).avatar(device)
        own = {name: rows.float().cpu() for name, rows in motion.parameters.items()}
        away = centre_of(other, own) - centre_of(avatar, poses)
        shots = [
            paint(other, moved(seen, away), at(own, moment), ["rgb"])["rgb"]
            for seen, moment in zip(cameras, moments, strict=True)
        ]
        return Pictured([to_bytes(shot) for shot in shots])
    return Pictured()


def at(poses: Mapping[str, Tensor], index: int) -> dict[str, Tensor]:
    """One timestep of a motion, name -> (1, size)."""
    return {name: rows[index : index + 1] for name, rows in poses.items()}


def centre_of(avatar: Avatar, poses: Mapping[str, Tensor]) -> Tensor:
    """(3,) the middle of the rig's mesh over a motion, metres, by ``SAMPLES`` of its timesteps."""
    known = avatar.rig.parameters()
    given = {n: v for n, v in poses.items() if n in known and v.shape[1] == known[n].size}
    count = len(next(iter(given.values())))
    rows = torch.arange(min(count, SAMPLES)) * count // min(count, SAMPLES)
    with torch.no_grad():
        posed = avatar.rig({name: values[rows].float().to(avatar.device) for name, values in given.items()})
    return posed.vertices.mean(dim=(0, 1)).cpu()


def moved(cameras: Cameras, away: Tensor) -> Cameras:
    """The same cameras moved by ``away`` (3,), metres."""
    pose = cameras.camera_from_world.clone()
    pose[:, :3, 3] -= pose[:, :3, :3] @ away.to(pose)
    return replace(cameras, camera_from_world=pose)


def orbit_along(
    avatar: Avatar,
    poses: Mapping[str, Tensor],
    count: int,
    *,
    size: int,
    turn: float,
    elevation: float,
    field_of_view: float,
) -> Cameras:
    """Cameras on an arc around where the motion takes the head on average."""
    cameras = orbit(
        avatar, count, height=size, width=size, turn=turn, elevation=elevation, field_of_view=field_of_view
    )
    away = centre_of(avatar, poses) - avatar.rig.rest().vertices.mean(dim=0).cpu()
    return moved(cameras, away)


def views_of(
    scene: Scene, moments: list[int], camera: int | None, front: tuple[float, float, float]
) -> list[int]:
    """A view of each timestep, by one camera if one saw all: ``camera``, else the one most in front."""
    views = scene.views
    if not set(moments) <= set(views.timestep.tolist()):
        return []
    pairs = {
        pair: row for row, pair in enumerate(zip(views.camera.tolist(), views.timestep.tolist(), strict=True))
    }
    ahead = {number: float(views.camera_from_world[row, 2, :3] @ front) for (number, _), row in pairs.items()}
    order = sorted(ahead, key=lambda number: (number != camera, ahead[number]))
    whole = [number for number in order if all((number, moment) in pairs for moment in moments)]
    return [
        pairs[next(number for number in whole[:1] or order if (number, moment) in pairs), moment]
        for moment in moments
    ]

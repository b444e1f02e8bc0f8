"""Where a page's camera is, in the terms of a browser and in those of a rasterizer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.core.types import Cameras
from surfhead.drawing.camera_path import orbit
from surfhead.maths import geometry

Vector = tuple[float, float, float]
START_FIELD_OF_VIEW = 25.0  # degrees
WIDTH = 0.8  # of a picture over its height, from which on a head fits in as high as it is


@dataclass(frozen=True)
class Viewpoint:
    """A pinhole camera without a picture size, OpenCV axes.

    Attributes:
        position: of the camera in the world, metres.
        wxyz: unit quaternion of the rotation world from camera.
        fov: vertical field of view, radians.
    """

    position: Vector
    wxyz: tuple[float, float, float, float]
    fov: float

    @classmethod
    def of(cls, camera_from_world: Tensor, fov: float) -> Viewpoint:
        """The viewpoint of a (4, 4) rigid transform, with a vertical field of view in radians."""
        pose = camera_from_world.detach().double().cpu()
        rotation = pose[:3, :3]
        position = -(rotation.mT @ pose[:3, 3])
        quaternion = geometry.matrix_to_quaternion(rotation.mT[None])[0]
        x, y, z = position.tolist()
        w, i, j, k = quaternion.tolist()
        return cls((x, y, z), (w, i, j, k), fov)

    @classmethod
    def looking(cls, position: Sequence[float], target: Sequence[float], up: Vector, fov: float) -> Viewpoint:
        """The viewpoint at ``position`` that looks at ``target``. Raises OptionError when that is ``up``."""
        from surfhead.drawing.camera_path import look_at

        eye, aim, axis = (torch.tensor([*v], dtype=torch.float64) for v in (position, target, up))
        return cls.of(look_at(eye[None], aim, axis)[0], fov)

    @cached_property
    def rotation(self) -> Tensor:
        """(3, 3) float64, world from camera."""
        return geometry.unit_quaternion_to_matrix(
            torch.nn.functional.normalize(torch.tensor(self.wxyz, dtype=torch.float64), dim=0)
        )

    @property
    def forward(self) -> np.ndarray:
        """(3,) unit vector of the direction of view, in the world."""
        return self.rotation[:, 2].numpy()

    @property
    def up(self) -> np.ndarray:
        """(3,) unit vector that is up in the picture, in the world."""
        return -self.rotation[:, 1].numpy()

    @cached_property
    def camera_from_world(self) -> Tensor:
        """(4, 4) float64."""
        rotation = self.rotation.mT
        pose = torch.eye(4, dtype=torch.float64)
        pose[:3, :3] = rotation
        pose[:3, 3] = -(rotation @ torch.tensor(self.position, dtype=torch.float64))
        return pose

    def cameras(self, height: int, width: int) -> Cameras:
        """One camera of this picture size, float32; the same object for the same view, as it seldom moves."""
        return _cameras(self, height, width)

    def near(self, other: Viewpoint) -> bool:
        """Whether both show the same up to a thousandth of a radian and of the distance to the origin."""
        away = math.dist(self.position, other.position)
        turn = abs(sum(a * b for a, b in zip(self.wxyz, other.wxyz, strict=True)))
        reach = 1e-3 * max(math.hypot(*self.position), 1e-3)
        return away < reach and turn > 1.0 - 1e-6 and abs(self.fov - other.fov) < 1e-3


@lru_cache(16)
def _cameras(view: Viewpoint, height: int, width: int) -> Cameras:
    focal = height / 2 / math.tan(view.fov / 2)
    intrinsics = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return Cameras(view.camera_from_world.float()[None], intrinsics[None], height, width)


def picture_size(aspect: float, longest: int) -> tuple[int, int]:
    """(height, width) whose longer side is ``longest`` and whose width over height is about ``aspect``."""
    if aspect >= 1.0:
        return max(round(longest / aspect), 1), longest
    return longest, max(round(longest * aspect), 1)


def fitted(view: Viewpoint, target: Vector, aspect: float) -> Viewpoint:
    """The viewpoint, further from ``target`` where the picture is too narrow for what it shows.

    Args:
        aspect: width over height of the picture.
    """
    away = max(WIDTH / max(aspect, 1e-3), 1.0)
    x, y, z = ((1.0 - away) * aim + away * at for at, aim in zip(view.position, target, strict=True))
    return replace(view, position=(x, y, z))


def start_viewpoint(
    avatar: Avatar, timestep: int = 0, up: Vector = (0.0, 1.0, 0.0)
) -> tuple[Viewpoint, Vector]:
    """A viewpoint in front of an avatar in one of its own poses, and the point it looks at."""
    cameras = orbit(avatar, 1, height=512, width=512, elevation=0.0, field_of_view=START_FIELD_OF_VIEW, up=up)
    pose = cameras.camera_from_world[0].double()
    if avatar.deformer.rig_bound:
        points = avatar.rig.rest().vertices
        with torch.no_grad():
            index = torch.tensor([timestep], device=avatar.device)
            posed = avatar.rig(avatar.poses(index)).vertices[0] if avatar.timesteps else points
        away = (posed.mean(dim=0) - points.mean(dim=0)).double().cpu()
    else:
        points = avatar.surfels.parameters["offset"].detach()
        away = torch.zeros(3, dtype=torch.float64)
    pose[:3, 3] -= pose[:3, :3] @ away
    view = Viewpoint.of(pose, math.radians(START_FIELD_OF_VIEW))
    middle = points.detach().double().cpu().mean(dim=0) + away
    reach = float((middle.numpy() - np.asarray(view.position)) @ view.forward)
    x, y, z = np.asarray(view.position) + reach * view.forward
    return view, (float(x), float(y), float(z))

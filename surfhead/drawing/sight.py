"""What one camera saw of a head, and a camera that swings no further.

A head before one camera shows the sides that it turned to it. From elsewhere an avatar is a guess, and a film
that begins with guesses shows what is worst first. So directions towards the camera are counted in the
head's own axes, and a camera stays where one like it has been.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

import numpy as np
import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.core.scene import Views
from surfhead.core.types import Cameras, RestMesh
from surfhead.drawing.camera_path import UP, bulk, face_axes, intrinsics_of, on_sphere

SOME = 400  # views, evenly spread, whose directions are looked at
RARE = 2.0  # per cent of them at each end that do not count
FAR = 45.0  # degrees to either side, at most: as an orbit
CALM = 6  # pictures before and after of which the camera takes the least room, lest it trembles with the head
TOGETHER = 64  # poses at a time
FEW = 12  # of the poses that are shown, which the pictures are to hold


@dataclass(frozen=True)
class Sight:
    """Directions from a head to its camera, degrees: to the head's left, and above.

    Attributes:
        side, height: lowest and highest, in the head's own axes.
        towards: the camera's, in those of the head at rest.
    """

    side: tuple[float, float]
    height: tuple[float, float]
    towards: tuple[float, float]

    def record(self) -> list[list[float]]:
        """As a checkpoint keeps it."""
        return [[round(float(value), 2) for value in pair] for pair in astuple(self)]


def sight_from(record: object) -> Sight | None:
    """What ``Sight.record`` gave; None for anything else."""
    try:
        rows = np.asarray(record, np.float64)
    except (TypeError, ValueError):
        return None
    if rows.shape != (3, 2) or not np.isfinite(rows).all() or (rows[:2, 0] > rows[:2, 1]).any():
        return None
    side, height, towards = (tuple(row.tolist()) for row in rows)
    return Sight(side, height, towards)


@torch.no_grad()
def sight_of(avatar: Avatar, views: Views, rows: np.ndarray) -> Sight | None:
    """What these views saw; None where they are of several cameras, of none, or all round the head."""
    if len(rows) == 0 or not avatar.deformer.rig_bound or avatar.timesteps == 0:
        return None
    if len(np.unique(views.camera[rows])) > 1:
        return None
    some = rows[np.unique(np.linspace(0, len(rows) - 1, min(SOME, len(rows))).round().astype(int))]
    try:
        turns, centres = head_turns(avatar, torch.as_tensor(views.timestep[some]))
    except np.linalg.LinAlgError:  # a motion that is not finite, of which others complain
        return None
    pose = views.camera_from_world[some]
    eyes = -np.einsum("mji,mj->mi", pose[:, :3, :3], pose[:, :3, 3])
    away = (eyes - centres) / np.linalg.norm(eyes - centres, axis=1, keepdims=True)
    axes = face_axes(avatar.rig.rest().topology.front, UP).numpy()
    side, height = _angles(np.einsum("mji,mj->mi", turns, away), axes)
    if np.ptp(side) > 2 * (180.0 - FAR):
        return None
    spans = [np.percentile(angle, [RARE, 100 - RARE]).tolist() for angle in (side, height)]
    towards = [float(angle[0]) for angle in _angles(away.mean(axis=0, keepdims=True), axes)]
    return sight_from([*spans, towards])


@torch.no_grad()
def swing(avatar: Avatar, sight: Sight, timesteps: Tensor) -> tuple[Tensor, Tensor]:
    """(M,) degrees to the side and above of a camera that swings to and fro within a sight, once.

    Args:
        avatar: whose motion plays.
        sight: what was seen of it.
        timesteps: (M,) what each picture shows.
    """
    axes = face_axes(avatar.rig.rest().topology.front, UP).numpy()
    base = _direction(*sight.towards, axes)
    known, place = np.unique(timesteps.numpy(), return_inverse=True)
    turns, _ = head_turns(avatar, torch.as_tensor(known))
    side, height = (angle[place] for angle in _angles(np.einsum("mji,j->mi", turns, base), axes))
    left, right = (_least(np.maximum(room, 0)) for room in (sight.side[1] - side, side - sight.side[0]))
    sine = np.sin(2 * math.pi * np.arange(len(side)) / max(len(side), 1))
    moved = sine * np.minimum(np.where(sine > 0, left, right), FAR)
    # where the motion leaves what was seen, as a held-out part may, the camera follows the head
    moved = np.clip(moved, sight.side[0] - side, sight.side[1] - side)
    raised = np.clip(0, sight.height[0] - height, sight.height[1] - height)
    return torch.from_numpy(sight.towards[0] + moved), torch.from_numpy(sight.towards[1] + raised)


@torch.no_grad()
def seen_cameras(
    avatar: Avatar,
    sight: Sight,
    timesteps: Tensor,
    *,
    height: int,
    width: int,
    field_of_view: float = 25.0,
) -> Cameras:
    """Cameras (M,) as of ``swing``, as far from the posed head as an orbit's from the head at rest.

    Args:
        avatar, sight, timesteps: as of ``swing``.
        height, width: pixels.
        field_of_view: degrees, of the shorter side of the picture.
    """
    angle, elevation = swing(avatar, sight, timesteps)
    known = np.unique(timesteps.numpy())
    few = torch.from_numpy(known[np.linspace(0, len(known) - 1, min(FEW, len(known))).round().astype(int)])
    # one camera does not tell a shoulder's height from a head's place: the rest pose may lie beside the head
    low, high = bulk(avatar.rig(avatar.poses(few.to(avatar.device))).vertices)
    lens, front = intrinsics_of(field_of_view, height, width), avatar.rig.rest().topology.front
    return on_sphere(low, high, angle, elevation, lens, (height, width), field_of_view, front, UP)


def head_turns(avatar: Avatar, timesteps: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """(M, 3, 3) rotations of the face from its place at rest, and (M, 3) its middle, at timesteps (M,)."""
    avatar.shape()
    rest = avatar.rig.rest()
    corners = _face(rest)
    still = rest.vertices[corners].double().cpu().numpy()
    still = still - still.mean(axis=0)
    turns, centres = [], []
    for some in torch.split(timesteps.to(avatar.device), TOGETHER):
        posed = avatar.rig(avatar.poses(some)).vertices[:, corners].double().cpu().numpy()
        centres.append(posed.mean(axis=1))
        u, _, v = np.linalg.svd(np.einsum("pvi,vj->pij", posed - centres[-1][:, None], still))
        u[:, :, 2] *= np.linalg.det(u @ v)[:, None]  # a rotation, not a mirror image
        turns.append(u @ v)
    return np.concatenate(turns), np.concatenate(centres)


def _face(rest: RestMesh) -> Tensor:
    """The vertices of the face, or all where the rig does not name one."""
    inside = rest.topology.regions.get("face")
    if inside is None or not bool(inside.any()):
        return torch.arange(len(rest.vertices), device=rest.vertices.device)
    triangles = rest.topology.triangles[inside]
    return torch.from_numpy(np.unique(triangles.cpu().numpy())).to(triangles.device)


def _angles(directions: np.ndarray, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Degrees to the side and above of unit vectors (M, 3), in axes of ``face_axes``."""
    ahead, side, up = (directions @ axis for axis in axes)
    return np.degrees(np.arctan2(side, ahead)), np.degrees(np.arctan2(up, np.hypot(side, ahead)))


def _direction(side: float, height: float, axes: np.ndarray) -> np.ndarray:
    """The unit vector of two angles."""
    turn, rise = math.radians(side), math.radians(height)
    level = math.cos(turn) * axes[0] + math.sin(turn) * axes[1]
    return np.asarray(math.cos(rise) * level + math.sin(rise) * axes[2])


def _least(room: np.ndarray) -> np.ndarray:
    """The least of the values around each, smoothed, which is never more than the value itself."""
    window = np.lib.stride_tricks.sliding_window_view
    least = window(np.pad(room, 2 * CALM, mode="edge"), 2 * CALM + 1).min(axis=1)
    return np.asarray(window(least, 2 * CALM + 1).mean(axis=1))

"""The cameras round the synthetic head, and which of them see which timestep."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from surfhead.core.api import RestMesh
from surfhead.plugins.datasets.synthetic.face import face_frame

DISTANCE = 1.0
"""From the cameras to the head's middle, metres."""
ARC = 75.0
"""Largest azimuth to either side of the face by default, degrees."""
ELEVATIONS = (2.0, 18.0, -12.0)
"""The cameras along the arc take these elevations in turn, degrees."""
MARGIN = 1.16
"""Room round the head at rest, as a factor on its height."""


def look_at(position: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(4, 4) camera from world, OpenCV axes, of a camera at ``position`` with +y up in the picture."""
    forward = (target - position) / np.linalg.norm(target - position)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    pose = np.eye(4)
    pose[:3, :3] = rotation
    pose[:3, 3] = -rotation @ position
    return pose


@dataclass(frozen=True)
class Ring:
    """C cameras: poses (C, 4, 4) and their common intrinsics (3, 3)."""

    camera_from_world: np.ndarray
    intrinsics: np.ndarray


def head_box(rest: RestMesh) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest corner (3,) of the head without its neck, metres."""
    regions = rest.topology.regions
    if "scalp" not in regions or "face" not in regions:
        # An average head about the eyes, where the rig does not say which part is the head.
        frame = face_frame(rest)
        low, high = np.array([-75.0, -116.0, -100.0]), np.array([75.0, 122.0, 115.0])
        return frame.origin + frame.scale * low, frame.origin + frame.scale * high
    triangles = rest.topology.triangles[regions["face"] | regions["scalp"]]
    points = rest.vertices.double().cpu().numpy()[np.unique(triangles.cpu().numpy())]
    return points.min(axis=0), points.max(axis=0)


def camera_ring(rest: RestMesh, count: int, height: int, width: int, arc: float = ARC) -> Ring:
    """Cameras on an arc about the head's front, framing it from chin to crown with some neck.

    Args:
        rest: the head.
        count: cameras.
        height, width: of the pictures, pixels.
        arc: largest azimuth to either side of the face, degrees; 180 is all round.
    """
    low, high = head_box(rest)
    tall = high[1] - low[1]
    # A little below the middle: the neck belongs to the picture.
    target = 0.5 * (low + high) - np.array([0.0, 0.03 * tall, 0.0])
    spread = np.linspace(-arc, arc, count, endpoint=arc < 180.0) if count > 1 else np.zeros(1)
    poses = []
    for number, degrees in enumerate(spread):
        azimuth, elevation = np.radians(degrees), np.radians(ELEVATIONS[number % len(ELEVATIONS)])
        away = [np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)]
        poses.append(look_at(target + DISTANCE * np.asarray(away), target))
    focal = min(height, width) * DISTANCE / (MARGIN * tall)
    intrinsics = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    return Ring(np.stack(poses), intrinsics)


def held_out_camera(count: int) -> int:
    """The camera of the ``val`` split, inside the arc."""
    return count // 2


def train_cameras(timestep: int, count: int, views: int) -> np.ndarray:
    """The ``views`` cameras of a training timestep: spread over the arc, another choice at each timestep."""
    known = np.delete(np.arange(count), held_out_camera(count)) if count > 1 else np.arange(1)
    views = min(views, len(known))
    spread = np.floor(np.arange(views) * len(known) / views).astype(int)
    # A step that shares no factor with most camera counts visits them all in turn.
    return np.sort(known[(spread + 4 * timestep) % len(known)])


def test_cameras(count: int, views: int) -> np.ndarray:
    """``views`` cameras evenly spread over the arc."""
    return np.unique(np.round(np.linspace(0, count - 1, min(views, count) + 2)[1:-1]).astype(int))

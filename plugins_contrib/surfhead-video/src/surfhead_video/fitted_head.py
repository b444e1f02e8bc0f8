"""A head in the frames of a clip: what is detected, what is fitted, and where that puts the landmarks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.spatial.transform import Rotation

from surfhead_video.landmark_places import OUTER_CORNERS, LandmarkPlaces

USUAL_NEARNESS = 1.5  # one by metres
FIRST, SECOND = np.triu_indices(3)  # of the products of two of three numbers
TURNED = np.diag([1.0, -1.0, -1.0])  # from y up, z towards the viewer to OpenCV axes


@dataclass(frozen=True)
class Detections:
    """What is known of T frames.

    Attributes:
        landmarks: (T, L, 2) pixels.
        scores: (T, K) ARKit scores, by the head's expressions.
        pose: (T, 4, 4) MediaPipe's rough head poses.
        time: (T,) seconds.
        width, height: of the pictures, pixels.
    """

    landmarks: np.ndarray
    scores: np.ndarray
    pose: np.ndarray
    time: np.ndarray
    width: int
    height: int

    def __len__(self) -> int:
        return len(self.time)

    def part(self, rows: np.ndarray | slice) -> Detections:
        """Some of the frames."""
        values = {name: getattr(self, name)[rows] for name in ("landmarks", "scores", "pose", "time")}
        return replace(self, **values)


@dataclass(frozen=True)
class Fit:
    """A head in T frames, camera axes as OpenCV's.

    Attributes:
        focal: pixels.
        shape: (I,) identity.
        rotation: (T, 3, 3) camera from head.
        translation: (T, 3) metres.
        expression: (T, K).
        gaze: (T, 2) pitch and yaw of both eyes, radians.
        person: (N,) how much of each of the landmarks' patterns is in this person; empty: none.
    """

    focal: float
    shape: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    expression: np.ndarray
    gaze: np.ndarray
    person: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def part(self, rows: np.ndarray | slice) -> Fit:
        """Some of the frames."""
        names = ("rotation", "translation", "expression", "gaze")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})


def camera_place(fit: Fit) -> np.ndarray:
    """(T, 3) where the camera is in the head's frame.

    The first two components of the unit vector towards it, and its nearness: the inverse of its distance in
    metres, less that of usual distances.
    """
    distance = np.maximum(np.linalg.norm(fit.translation, axis=1, keepdims=True), 1e-9)
    away = -np.einsum("tji,tj->ti", fit.rotation, fit.translation)
    return np.concatenate([(away / distance)[:, :2], 1 / distance - USUAL_NEARNESS], axis=1)


def view_terms(place: np.ndarray) -> np.ndarray:
    """(T, 9) what landmarks slide by: where the camera is (T, 3), and the products of its components."""
    return np.concatenate([place, place[:, FIRST] * place[:, SECOND]], axis=1)


def view_terms_change(place: np.ndarray) -> np.ndarray:
    """(T, 9, 3) derivative of ``view_terms``."""
    change = np.zeros((len(place), 9, 3))
    change[:, [0, 1, 2], [0, 1, 2]] = 1
    rows = np.arange(3, 9)
    change[:, rows, FIRST] += place[:, SECOND]
    change[:, rows, SECOND] += place[:, FIRST]
    return change


def head_points(places: LandmarkPlaces, fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks in the head's frame (T, L, 3), and the irises' arms from the eyeballs' centres (T, 10, 3)."""
    neutral = places.neutral(fit.shape, fit.person)
    points = neutral + np.einsum("lck,tk->tlc", places.expressions, fit.expression)
    iris = np.flatnonzero(places.eye >= 0)
    centres = places.centres(fit.shape)[places.eye[iris]]
    turn = Rotation.from_rotvec(np.pad(fit.gaze, ((0, 0), (0, 1)))).as_matrix()
    arms = np.einsum("tij,lj->tli", turn, neutral[iris] - centres)
    points[:, iris] = centres + arms
    points += np.einsum("lcv,tv->tlc", places.slide, view_terms(camera_place(fit)))
    return points, arms


def projections(places: LandmarkPlaces, fit: Fit, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks in pixels (T, L, 2), and the distance between the eyes' outer corners (T,), pixels.

    The distance is as long as it would be seen from in front.
    """
    points, _ = head_points(places, fit)
    seen = np.einsum("tij,tlj->tli", fit.rotation, points) + fit.translation[:, None]
    pixels = fit.focal * seen[..., :2] / seen[..., 2:] + [width / 2, height / 2]
    first, second = points[:, OUTER_CORNERS[0]], points[:, OUTER_CORNERS[1]]
    depth = seen[:, OUTER_CORNERS].mean(axis=1)[:, 2]
    return pixels, fit.focal * np.linalg.norm(first - second, axis=1) / depth


def reprojection(places: LandmarkPlaces, fit: Fit, found: Detections) -> np.ndarray:
    """(T,) median distance of landmarks from their projections, fraction of the eyes' distance."""
    pixels, unit = projections(places, fit, found.width, found.height)
    return np.asarray(np.median(np.linalg.norm(pixels - found.landmarks, axis=2), axis=1) / unit)

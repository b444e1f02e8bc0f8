"""How landmarks in the pictures change with everything that is fitted."""

from __future__ import annotations

import numpy as np

from surfhead_video.fitted_head import Fit, camera_place, head_points, view_terms_change
from surfhead_video.landmark_places import LandmarkPlaces


def jacobian(places: LandmarkPlaces, fit: Fit) -> np.ndarray:
    """(B, L, 2, D + S) pixels by a frame's unknowns, the focal length's logarithm, the identity and the
    person's patterns.

    A frame's unknowns are 3 rotation (applied from the left), 3 translation, K expression and 2 gaze.
    """
    count = places.expressions.shape[-1]
    size = 8 + count
    points, arms = head_points(places, fit)
    turned = np.einsum("tij,tlj->tli", fit.rotation, points)
    seen = turned + fit.translation[:, None]
    frames, marks = points.shape[:2]
    patterns = places.patterns[..., : len(fit.person)]
    shared = places.identities.shape[-1] + patterns.shape[-1]
    moved = np.zeros((frames, marks, 3, size + 1 + shared))
    moved[..., 0, 1], moved[..., 0, 2] = turned[..., 2], -turned[..., 1]
    moved[..., 1, 0], moved[..., 1, 2] = -turned[..., 2], turned[..., 0]
    moved[..., 2, 0], moved[..., 2, 1] = turned[..., 1], -turned[..., 0]
    moved[..., [0, 1, 2], [3, 4, 5]] = 1
    # a turn d moves the camera's direction by Rᵀ (d × t) / |t|, and with it what slides; so do moves
    distance = np.linalg.norm(fit.translation, axis=1, keepdims=True)
    away = fit.translation / distance
    change = np.zeros((frames, 3, 6))
    for axis in range(3):
        change[:, :2, axis] = np.einsum("tji,tj->ti", fit.rotation, np.cross(np.eye(3)[axis], away))[:, :2]
        across = np.eye(3)[axis] - away * away[:, axis : axis + 1]
        change[:, :2, 3 + axis] = -(np.einsum("tji,tj->ti", fit.rotation, across) / distance)[:, :2]
        change[:, 2, 3 + axis] = -(away[:, axis] / distance[:, 0] ** 2)
    change = view_terms_change(camera_place(fit)) @ change
    slid = np.einsum("lcv,tvd->tlcd", places.slide, change)
    moved[..., :6] += np.einsum("tij,tljd->tlid", fit.rotation, slid)
    flat = np.concatenate([places.expressions, places.identities, patterns], axis=-1)
    bases = np.matmul(fit.rotation[:, None], flat[None])
    moved[..., 6 : -3 - shared] = bases[..., :count]
    moved[..., size + 1 :] = bases[..., count:]
    iris = np.flatnonzero(places.eye >= 0)
    for axis in range(2):
        by_gaze = np.cross(np.eye(3)[axis], arms)
        column = moved[..., size - 2 + axis]  # a view
        column[:, iris] = np.einsum("tij,tlj->tli", fit.rotation, by_gaze)
    depth = seen[..., 2, None, None]
    plane = seen[..., :2, None] / depth
    pixels = fit.focal / depth * (moved[..., :2, :] - plane * moved[..., 2:, :])
    pixels[..., size] = fit.focal * plane[..., 0]
    return np.asarray(pixels)

"""Poses, focal length and patches' places are found together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation
from surfhead_video.bundle import OFFSET, PatchPlaces, bundle
from surfhead_video.fitted_head import TURNED, Detections, Fit, projections
from surfhead_video.head_fit import Priors
from surfhead_video.landmark_places import LandmarkPlaces
from surfhead_video.skin_patches import Patches, Sightings
from surfhead_video.skin_points import skin_points

FRAMES, SIZE, FOCAL = 9, 400, 440.0


def test_focal_length_and_poses_are_found_from_a_head_that_turns(rig: Any, places: LandmarkPlaces) -> None:
    random = np.random.default_rng(1)
    points = skin_points(rig, places, 120)
    turns = np.stack([np.linspace(-0.6, 0.6, FRAMES), 0.1 * np.sin(np.arange(FRAMES))], axis=1)
    truth = Fit(
        FOCAL,
        np.zeros(places.identities.shape[-1]),
        TURNED @ Rotation.from_euler("YX", turns).as_matrix(),
        np.tile([0.0, 0.0, 0.45], (FRAMES, 1)),
        np.zeros((FRAMES, len(places.names))),
        np.zeros((FRAMES, 2)),
    )
    none = np.zeros((120, 0))
    patches = Patches(np.arange(120), np.zeros(120, int), none, np.zeros(120), none, none)
    lying, real = (PatchPlaces(points, patches, truth.shape) for _ in range(2))
    real.offset = random.normal(0, OFFSET, real.offset.shape)  # the head is not quite the fitted one
    pixels, _ = projections(places, truth, SIZE, SIZE)
    found = Detections(
        pixels, truth.expression, np.tile(np.eye(4), (FRAMES, 1, 1)), np.arange(FRAMES) / 25, SIZE, SIZE
    )
    blind = Sightings(np.zeros((120, 2)), np.tile(np.eye(2), (120, 1, 1)))
    sights = []
    for row in range(FRAMES):
        at = real.missed(truth, row, blind, found).left + random.normal(0, 0.1, (120, 2))
        at[::20] += 15.0  # some are found elsewhere
        sights.append(Sightings(at, np.tile(np.eye(2) / 0.1, (120, 1, 1))))
    longer = replace(truth, focal=1.15 * FOCAL, translation=truth.translation * [1, 1, 1.15])
    jitter = Rotation.from_rotvec(random.normal(0, 0.01, (FRAMES, 3))).as_matrix()
    fit = bundle(places, found, Priors(), replace(longer, rotation=jitter @ truth.rotation), lying, sights)
    assert abs(fit.focal / FOCAL - 1) < 0.03
    off = Rotation.from_matrix(fit.rotation.transpose(0, 2, 1) @ truth.rotation)
    assert np.degrees(np.median((off.mean().inv() * off).magnitude())) < 0.15
    away = np.linalg.norm(lying.offset - real.offset, axis=1)
    assert np.median(away) < 0.7 * np.median(np.linalg.norm(real.offset, axis=1))

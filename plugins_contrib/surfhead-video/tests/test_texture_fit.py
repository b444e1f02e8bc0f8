"""Poses that slide under the skin are put back by the pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from surfhead_video import texture_fit
from surfhead_video.bundle import by_pose
from surfhead_video.clip import ClipFrame
from surfhead_video.contrast import contrast_of
from surfhead_video.fitted_head import TURNED, Detections, Fit, projections
from surfhead_video.head_fit import Priors
from surfhead_video.landmark_places import LandmarkPlaces
from surfhead_video.skin_patches import cut_patches, look_up
from surfhead_video.skin_points import SkinPoints, skin_points
from surfhead_video.texture_fit import refine_poses, seen_places, sides

FRAMES, SIZE = 10, 200


@pytest.fixture(scope="module")
def points(rig: Any, places: LandmarkPlaces) -> SkinPoints:
    return skin_points(rig, places, 1500)


@pytest.fixture(scope="module")
def truth(places: LandmarkPlaces) -> Fit:
    turns = Rotation.from_euler("YX", np.stack([np.linspace(-0.3, 0.3, FRAMES), np.zeros(FRAMES)], axis=1))
    return Fit(
        focal=260.0,
        shape=np.zeros(places.identities.shape[-1]),
        rotation=TURNED @ turns.as_matrix(),
        translation=np.tile([0.0, 0.0, 0.45], (FRAMES, 1)),
        expression=np.zeros((FRAMES, len(places.names))),
        gaze=np.zeros((FRAMES, 2)),
    )


def painted(rig: Any, fit: Fit) -> list[np.ndarray]:
    """Pictures of a head with a pattern on its skin: its triangles' points, the nearest last."""
    template, triangles = rig.model().template.astype(np.float64), rig.model().triangles
    random = np.random.default_rng(2)
    weight = random.dirichlet([1.0, 1.0, 1.0], size=(3, len(triangles)))
    spots = (template[triangles][None] * weight[..., None]).sum(axis=2).reshape(-1, 3)
    shade = 130 + 45 * np.sin(300 * spots[:, 0]) * np.sin(260 * spots[:, 1]) + 20 * np.sin(500 * spots[:, 1])
    pictures = []
    for turn, place in zip(fit.rotation, fit.translation, strict=True):
        seen = spots @ turn.T + place
        pixels = np.floor(fit.focal * seen[:, :2] / seen[:, 2:] + SIZE / 2).astype(int)
        order = np.argsort(-seen[:, 2])
        order = order[((pixels[order] >= 0) & (pixels[order] < SIZE)).all(axis=1)]
        picture = np.full((SIZE, SIZE, 3), 120, np.uint8)
        picture[pixels[order, 1], pixels[order, 0]] = shade[order, None].astype(np.uint8)
        pictures.append(picture)
    return pictures


@pytest.mark.parametrize("longest", [360, 7])
def test_poses_that_slide_are_put_back(
    rig: Any,
    places: LandmarkPlaces,
    points: SkinPoints,
    truth: Fit,
    longest: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(texture_fit, "LONGEST", longest)
    monkeypatch.setattr(texture_fit, "OVERLAP", 4)
    random = np.random.default_rng(3)
    # what is wrong alike in all frames moves the whole texture, which no picture contradicts
    turns, shift = (values - values.mean(axis=0) for values in random.normal(size=(2, FRAMES, 3)))
    jitter, shift = Rotation.from_rotvec(0.012 * turns).as_matrix(), shift * [0.001, 0.001, 0.0]
    wrong = replace(truth, rotation=jitter @ truth.rotation, translation=truth.translation + shift)
    pixels, _ = projections(places, wrong, SIZE, SIZE)  # the landmarks say the same as the wrong poses
    pose = np.tile(np.eye(4), (FRAMES, 1, 1))
    found = Detections(pixels, truth.expression, pose, np.arange(FRAMES) / 25, SIZE, SIZE)
    film = [ClipFrame(number, number / 25, picture) for number, picture in enumerate(painted(rig, truth))]
    told: list[tuple[int, int]] = []
    number = np.arange(FRAMES)
    fit = refine_poses(
        lambda: film, number, places, points, found, Priors(), wrong, lambda *far: told.append(far)
    )
    assert told[-1] == (FRAMES, FRAMES)

    def slide(one: Fit) -> float:
        return float(np.abs(seen_places(points, one, found)[0] - seen_places(points, truth, found)[0]).mean())

    assert slide(fit) < 0.6 * slide(wrong)
    np.testing.assert_array_equal(fit.expression, truth.expression)
    assert abs(fit.focal / truth.focal - 1) < 0.08


def test_pixels_change_with_the_pose_as_said(points: SkinPoints, truth: Fit) -> None:
    found = Detections(*[np.zeros(0)] * 4, SIZE, SIZE)
    one = truth.part(slice(2, 3))
    pixels, seen, turned = seen_places(points, one, found)
    change = by_pose(one.focal, seen[0], turned[0])
    step = 1e-6
    for axis in range(6):
        move = np.zeros(6)
        move[axis] = step
        turn = Rotation.from_rotvec(move[:3]).as_matrix()
        moved = replace(one, rotation=turn @ one.rotation, translation=one.translation + move[3:])
        difference = (seen_places(points, moved, found)[0] - pixels)[0] / step
        np.testing.assert_allclose(change[..., axis], difference, atol=1e-3 * np.abs(difference).max())


def test_contrast_does_not_change_with_the_light_and_ends_at_the_picture() -> None:
    y, x = np.mgrid[:120, :160] + 0.5
    pattern = 1 + 0.2 * np.sin(x / 6) * np.cos(y / 7)
    landmarks = np.array([[50.0, 40.0], [110.0, 80.0]])
    bright, dim = (
        contrast_of(np.repeat((pattern * level)[..., None], 3, 2).astype(np.uint8), landmarks, 0.8)
        for level in (160.0, 110.0)
    )
    spots = np.random.default_rng(0).uniform([50, 40], [110, 80], size=(50, 2))
    np.testing.assert_allclose(bright.at(spots), dim.at(spots), rtol=0.1, atol=0.015)
    assert np.isnan(bright.at(np.array([[1000.0, 0.0]]))).all()


def test_patches_are_found_where_the_head_went_and_not_on_a_wall(
    rig: Any, points: SkinPoints, truth: Fit
) -> None:
    pictures = painted(rig, truth)
    found = Detections(*[np.zeros(0)] * 4, SIZE, SIZE)
    one, other = truth.part(slice(4, 5)), truth.part(slice(6, 7))
    landmarks = seen_places(points, truth, found)[0]
    looks = {row: contrast_of(pictures[row], landmarks[row], 1.0) for row in (4, 6)}
    patches = cut_patches(looks[4], 4, points, one, found, 60)
    assert len(patches) == 60
    # the fit of the other frame is two pixels off to the right
    off = replace(other, translation=other.translation + np.array([2 * 0.45 / truth.focal, 0, 0]))
    sights = look_up(looks[6], patches, points, off, found)
    shown = sights.root.any(axis=(1, 2))
    miss = np.linalg.norm(sights.pixels - landmarks[6][patches.point], axis=1)[shown]
    assert shown.mean() > 0.5
    assert np.median(miss) < 0.7  # a point is drawn at a whole pixel
    wall = contrast_of(
        np.random.default_rng(0).integers(90, 110, (SIZE, SIZE, 3)).astype(np.uint8), landmarks[6], 1.0
    )
    assert look_up(wall, patches, points, off, found).root.any(axis=(1, 2)).mean() < 0.1


def test_patches_are_cut_from_all_sides_while_the_head_is_slow(truth: Fit) -> None:
    assert {0, FRAMES - 1} <= set(sides(truth, 3))
    fast = truth.translation.copy()
    fast[7] += [0.05, 0, 0]
    rows = sides(replace(truth, translation=fast), 10)
    assert len(rows) == len(set(rows)) <= 6
    assert not {6, 8} & set(rows)

"""What is believed of changes is believed of seconds: a clip's rate and gaps do not change what is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from surfhead_video import bundle
from surfhead_video.fitted_head import TURNED, Detections, Fit, projections
from surfhead_video.frame_times import changes_at
from surfhead_video.head_fit import Priors, Problem, solve, starting_fit
from surfhead_video.landmark_places import LandmarkPlaces

WIDTH, HEIGHT = 320, 240
FRAMES = 20


def head(places: LandmarkPlaces, time: np.ndarray) -> Fit:
    """A head that looks to and fro and nods, at these times."""
    angles = np.stack([0.5 * np.sin(2.3 * time), 0.15 * np.sin(3.1 * time + 1), 0.05 * np.sin(time)], axis=1)
    expression = np.zeros((len(time), len(places.names)))
    expression[:, places.names.index("jawOpen")] = 0.3 + 0.2 * np.sin(7 * time)
    return Fit(
        focal=300.0,
        shape=np.random.default_rng(5).normal(size=places.identities.shape[-1]) * 0.3,
        rotation=TURNED @ Rotation.from_euler("YXZ", angles).as_matrix(),
        translation=np.stack([0.04 * np.sin(2.3 * time), 0 * time, 0.5 + 0.02 * np.cos(time)], axis=1),
        expression=expression,
        gaze=np.zeros((len(time), 2)),
    )


def detected(places: LandmarkPlaces, truth: Fit, time: np.ndarray) -> Detections:
    """What a detector with little noise sees of it, with rough poses."""
    pixels, unit = projections(places, truth, WIDTH, HEIGHT)
    noise = np.random.default_rng(6).normal(size=pixels.shape)
    pose = np.tile(np.eye(4), (len(time), 1, 1))
    tilt = Rotation.from_rotvec([0.05, -0.04, 0.02]).as_matrix()
    pose[:, :3, :3] = TURNED.T @ truth.rotation @ tilt
    return Detections(
        pixels + 0.004 * noise * unit[:, None, None], truth.expression, pose, time, WIDTH, HEIGHT
    )


def errors(places: LandmarkPlaces, time: np.ndarray) -> tuple[float, float]:
    """The focal length's, as a share, and the rotation's, median, degrees: fitted by what is usual."""
    truth = head(places, time)
    found = detected(places, truth, time)
    fit = solve(places, found, Priors(), starting_fit(places, found, Priors()), steps=30)
    off = Rotation.from_matrix(fit.rotation @ truth.rotation.transpose(0, 2, 1)).magnitude()
    return abs(fit.focal / truth.focal - 1), float(np.degrees(np.median(off)))


@pytest.mark.parametrize(
    "numbers",
    [
        pytest.param(np.arange(100), id="25 a second"),
        pytest.param(5 * np.arange(FRAMES), id="5 a second"),
        pytest.param(12 * np.arange(FRAMES), id="2 a second"),
        pytest.param(np.cumsum(np.tile([1, 1, 18, 4], 5)), id="uneven"),
    ],
)
def test_the_head_is_found_alike_at_any_rate(places: LandmarkPlaces, numbers: np.ndarray) -> None:
    focal, turned = errors(places, numbers / 25)
    assert focal < 0.05
    assert turned < 1.0


def test_at_25_a_second_differences_are_plain_and_at_others_grow_as_white_acceleration_has_it() -> None:
    usual = changes_at(np.arange(6) / 25)
    for values in (usual.steps, usual.first, usual.second):
        np.testing.assert_allclose(values, 1, rtol=1e-12)
    np.testing.assert_allclose(usual.matrix(), np.diff(np.eye(6), 2, axis=0), rtol=1e-12, atol=1e-12)
    for step in (0.5, 2, 12.5):
        others = changes_at(np.arange(6) * step / 25)
        # a second difference is a change of velocity times the step
        np.testing.assert_allclose(step / np.sqrt(others.second), step**1.5)
        np.testing.assert_allclose(1 / np.sqrt(others.first), step**0.5)


def test_changes_of_velocity_vary_over_uneven_steps_as_they_are_weighed() -> None:
    fine = 40  # steps of white acceleration in one of 25 a second
    push = np.random.default_rng(0).normal(size=(4000, 30 * fine)) / np.sqrt(fine)
    velocity = (push.cumsum(axis=1) - push / 2) / fine
    place = np.concatenate([np.zeros((4000, 1)), velocity.cumsum(axis=1)], axis=1)
    steps = np.array([0, 1, 2, 9, 11, 29])
    seen = place[:, steps * fine] @ changes_at(steps / 25).matrix().T
    expected = seen[:, 0].var() / changes_at(steps / 25).second
    np.testing.assert_allclose(seen.var(axis=0), expected, rtol=0.08)


def test_gradient_and_step_know_of_uneven_times(places: LandmarkPlaces) -> None:
    time = np.cumsum([0, 1, 1, 7, 2, 1, 4, 1]) / 25
    truth = head(places, time)
    found = detected(places, truth, time)
    vague = Problem(places, found, Priors(correlated=1e4), free=False)
    random = np.random.default_rng(2)
    moved = replace(truth, translation=truth.translation + 0.01 * random.normal(size=(len(time), 3)))
    equations = vague.normal_equations(moved)
    for frame, axis in ((0, 0), (3, 1), (4, 2), (7, 0)):
        change = np.zeros_like(moved.translation)
        change[frame, axis] = 1e-4
        costs = [vague.cost(replace(moved, translation=moved.translation + way * change)) for way in (1, -1)]
        assert equations[3][frame, 3 + axis] == pytest.approx((costs[0] - costs[1]) / 4e-4, rel=1e-3)
    vague.fixed[:3] = vague.fixed[6:] = True
    once = vague.step(moved, equations, 1e-12)
    line = np.diff(np.diff(once.translation, axis=0) / np.diff(time)[:, None], axis=0)
    before = np.diff(np.diff(moved.translation, axis=0) / np.diff(time)[:, None], axis=0)
    assert np.abs(line).max() < 1e-3 * np.abs(before).max()
    # bundle adjustment has the same equations for poses
    matrix, right = bundle._landmarks(vague, moved)
    straight = (
        moved.translation
        - np.linalg.solve(matrix[:-1, :-1] + 1e-9 * np.diag(np.diag(matrix[:-1, :-1])), right[:-1]).reshape(
            -1, 6
        )[:, 3:]
    )
    bent = np.diff(np.diff(straight, axis=0) / np.diff(time)[:, None], axis=0)
    assert np.abs(bent).max() < 1e-2 * np.abs(before).max()

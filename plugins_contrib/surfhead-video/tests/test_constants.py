"""What is the same in all frames of a clip goes to whom it belongs: identity, the detector, or a score."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from surfhead_video.fitted_head import TURNED, Detections, Fit, projections
from surfhead_video.head_fit import Priors, habit_deviations, solve, starting_fit
from surfhead_video.landmark_places import LandmarkPlaces
from surfhead_video.projection_jacobian import jacobian

FRAMES, SIZE = 24, 320


@pytest.fixture(scope="module")
def truth(places: LandmarkPlaces) -> Fit:
    """A usual head that turns, looks up and down, and speaks, in whom the detector errs by no pattern."""
    time = np.arange(FRAMES) / 25
    angles = np.stack([0.6 * np.sin(7 * time), 0.15 * np.cos(6 * time), 0.05 * np.sin(4 * time)], axis=1)
    expression = np.zeros((FRAMES, len(places.names)))
    expression[:, places.names.index("jawOpen")] = 0.2 + 0.2 * np.sin(9 * time)
    return Fit(
        focal=330.0,
        shape=np.zeros(places.identities.shape[-1]),
        rotation=TURNED @ Rotation.from_euler("YXZ", angles).as_matrix(),
        translation=np.stack([0.02 * np.sin(5 * time), 0 * time, 0.45 + 0 * time], axis=1),
        expression=expression,
        gaze=np.zeros((FRAMES, 2)),
        person=np.zeros(places.patterns.shape[-1]),
    )


def detections(places: LandmarkPlaces, fit: Fit) -> Detections:
    """What a detector without errors of its own sees, with true scores and a pose that is roughly right."""
    pixels, _ = projections(places, fit, SIZE, SIZE)
    pose = np.tile(np.eye(4), (FRAMES, 1, 1))
    pose[:, :3, :3] = TURNED.T @ fit.rotation @ Rotation.from_rotvec([0.05, -0.05, 0.02]).as_matrix()
    return Detections(pixels, fit.expression.copy(), pose, np.arange(FRAMES) / 25, SIZE, SIZE)


def off(fit: Fit, truth: Fit) -> float:
    """Degrees, median."""
    turn = Rotation.from_matrix(fit.rotation @ truth.rotation.transpose(0, 2, 1))
    return float(np.degrees(np.median(turn.magnitude())))


def test_scores_that_hardly_rise_have_hardly_a_habit() -> None:
    priors = Priors()
    never, rarely, always = np.zeros(50), np.zeros(50), np.full(50, 0.4)
    rarely[7] = 0.1
    made = habit_deviations(np.stack([never, rarely, always], axis=1), priors)
    assert made[0] == priors.still
    assert made[1] == pytest.approx(priors.rising * np.sqrt(0.1 / np.sqrt(50)))
    assert made[2] == priors.habit
    assert (habit_deviations(np.full((3, 2), 0.4), Priors(habit=1e-6)) == 1e-6).all()


def test_a_face_with_a_long_jaw_is_not_taken_for_one_that_puts_it_forward(
    places: LandmarkPlaces, truth: Fit
) -> None:
    """The jaw is forward in all frames, as no score says: that is the face, not what it does."""
    jaw = places.names.index("jawForward")
    longer = replace(places, mean=places.mean + 0.3 * places.expressions[..., jaw])
    found = detections(longer, truth)
    fit = solve(places, found, Priors(), starting_fit(places, found, Priors()), steps=25)
    before = Priors(still=0.12)  # any expression's constant as likely as any other's
    other = solve(places, found, before, starting_fit(places, found, before), steps=25)
    assert other.expression[:, jaw].mean() > 0.05
    assert fit.expression[:, jaw].mean() < 0.3 * other.expression[:, jaw].mean()


def test_what_the_detector_errs_by_for_somebody_is_not_taken_for_the_face(
    places: LandmarkPlaces, truth: Fit
) -> None:
    some = np.where(np.arange(len(truth.person)) % 2, 1.5, 0.0)
    assert some.any()
    found = detections(places, replace(truth, person=some))
    fit = solve(places, found, Priors(), starting_fit(places, found, Priors()), steps=25)
    blind = replace(places, patterns=places.patterns[..., :0])
    other = solve(blind, found, Priors(), starting_fit(blind, found, Priors()), steps=25)
    assert len(other.person) == 0
    assert np.linalg.norm(fit.shape) < 0.7 * np.linalg.norm(other.shape)
    assert off(fit, truth) < 0.7 * off(other, truth)
    left = places.patterns @ (fit.person - some)
    assert (left**2).sum() < 0.5 * ((places.patterns @ some) ** 2).sum()


def test_the_jacobian_knows_of_patterns(places: LandmarkPlaces, truth: Fit) -> None:
    few = replace(truth.part(slice(0, 2)), person=np.linspace(-1, 1, len(truth.person)))
    exact = jacobian(places, few)
    first = 8 + len(places.names) + 1 + len(few.shape)
    assert exact.shape[-1] == first + len(few.person)
    for row in (0, 5):
        step = np.zeros(len(few.person))
        step[row] = 1e-4
        either = [
            projections(places, replace(few, person=few.person + sign * step), SIZE, SIZE)[0]
            for sign in (1, -1)
        ]
        expected = (either[0] - either[1]) / 2e-4
        np.testing.assert_allclose(exact[..., first + row], expected, atol=1e-4 * np.abs(expected).max())

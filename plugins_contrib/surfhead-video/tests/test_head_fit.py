"""The fit finds the head it was made from, and the rig's parameters put it where the fit has it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from surfhead_video import windows
from surfhead_video.fitted_head import TURNED, Detections, Fit, projections, reprojection
from surfhead_video.head_fit import Priors, Problem, descend, solve, starting_fit
from surfhead_video.landmark_places import LandmarkPlaces, landmark_places, make_rig
from surfhead_video.outline import outline_mask
from surfhead_video.projection_jacobian import jacobian
from surfhead_video.rig_motion import camera_pose, rig_parameters

from surfhead.core.api import DataError

FRAMES, WIDTH, HEIGHT = 24, 320, 240


@pytest.fixture(scope="module")
def truth(places: LandmarkPlaces) -> Fit:
    random = np.random.default_rng(5)
    time = np.arange(FRAMES) / 25
    angles = np.stack([0.6 * np.sin(6 * time), 0.15 * np.cos(5 * time), 0.05 * np.sin(4 * time)], axis=1)
    expression = np.zeros((FRAMES, len(places.names)))
    expression[:, places.names.index("jawOpen")] = 0.3 + 0.3 * np.sin(9 * time)
    expression[:, places.names.index("eyeBlink_L")] = np.exp(-(((time - 0.4) / 0.1) ** 2))
    return Fit(
        focal=330.0,
        shape=random.normal(size=places.identities.shape[-1]) * 0.5,
        rotation=TURNED @ Rotation.from_euler("YXZ", angles).as_matrix(),
        translation=np.stack([0.02 * np.sin(5 * time), 0 * time, 0.45 + 0.02 * np.cos(3 * time)], axis=1),
        expression=expression,
        gaze=np.stack([0.1 * np.sin(7 * time), 0.2 * np.cos(6 * time)], axis=1),
    )


@pytest.fixture(scope="module")
def found(places: LandmarkPlaces, truth: Fit) -> Detections:
    """What a detector with little noise would see, with a rough pose and no scores."""
    random = np.random.default_rng(6)
    pixels, unit = projections(places, truth, WIDTH, HEIGHT)
    pixels = pixels + random.normal(size=pixels.shape) * 0.004 * unit[:, None, None]
    pixels[:, 100:110] += 30.0  # landmarks that are simply wrong
    pose = np.tile(np.eye(4), (FRAMES, 1, 1))
    tilt = Rotation.from_rotvec([0.1, -0.08, 0.05]).as_matrix()
    pose[:, :3, :3] = TURNED.T @ truth.rotation @ tilt
    scores = np.zeros_like(truth.expression)
    return Detections(pixels, scores, pose, np.arange(FRAMES) / 25, WIDTH, HEIGHT)


def angles(fit: Fit, truth: Fit) -> np.ndarray:
    turn = Rotation.from_matrix(fit.rotation @ truth.rotation.transpose(0, 2, 1))
    return np.degrees(turn.magnitude())


def test_the_jacobian_is_the_projections_derivative(
    places: LandmarkPlaces, truth: Fit, found: Detections
) -> None:
    problem = Problem(places, found, Priors(), True)
    few = truth.part(slice(0, 2))
    exact = jacobian(places, few)
    step = 1e-6
    skin = places.eye < 0
    for column in (0, 1, 2, 3, 5, 6, 30, 61, 62, 70):
        change, common = np.zeros((2, problem.size)), np.zeros(1 + len(few.shape))
        if column < problem.size:
            change[:, column] = step
        else:
            common[column - problem.size] = step
        moved = Fit(
            few.focal * np.exp(common[0]),
            few.shape + common[1:],
            Rotation.from_rotvec(change[:, :3]).as_matrix() @ few.rotation,
            few.translation + change[:, 3:6],
            few.expression + change[:, 6:-2],
            few.gaze + change[:, -2:],
        )
        difference = (
            projections(places, moved, WIDTH, HEIGHT)[0] - projections(places, few, WIDTH, HEIGHT)[0]
        ) / step
        largest = np.abs(difference).max()
        np.testing.assert_allclose(exact[..., column][:, skin], difference[:, skin], atol=1e-4 * largest)


def test_the_head_is_found_again(places: LandmarkPlaces, truth: Fit, found: Detections) -> None:
    priors = Priors(correlated=1.0, landmark=0.004)
    start = starting_fit(places, found, priors)
    assert np.median(angles(start, truth)) > 5
    fit = solve(places, found, priors, start)
    assert np.median(angles(fit, truth)) < 0.5
    assert abs(fit.focal / truth.focal - 1) < 0.05
    assert float(np.abs(fit.expression - truth.expression).mean()) < 0.05
    assert fit.expression.min() >= 0
    assert fit.expression.max() <= 1
    assert float(np.median(reprojection(places, fit, found))) < 0.008
    jaw = places.names.index("jawOpen")
    assert np.corrcoef(fit.expression[:, jaw], truth.expression[:, jaw])[0, 1] > 0.95


def test_what_a_score_errs_by_in_all_frames_is_found(
    places: LandmarkPlaces, truth: Fit, found: Detections
) -> None:
    wrong = [places.names.index(name) for name in ("jawOpen", "mouthPucker")]
    scores = truth.expression.copy()
    scores[:, wrong] += 0.2
    priors = Priors(correlated=1.0, landmark=0.004)
    told = replace(found, scores=scores)
    fit = solve(places, told, priors, starting_fit(places, told, priors), steps=20)
    habit = Problem(places, told, priors, free=True).habit(fit)
    np.testing.assert_allclose(habit[wrong], -0.2, atol=0.05)
    certain = replace(priors, habit=1e-6)
    other = solve(places, told, certain, starting_fit(places, told, certain), steps=20)
    off = [np.abs(made.expression - truth.expression)[:, wrong].mean() for made in (fit, other)]
    assert off[0] < 0.6 * off[1]
    assert abs(fit.focal / truth.focal - 1) < abs(other.focal / truth.focal - 1)


def test_the_gradient_of_expressions_knows_of_habits(
    places: LandmarkPlaces, truth: Fit, found: Detections
) -> None:
    told = replace(found, scores=found.scores + 0.1)
    with_habits, without = (Problem(places, told, Priors(habit=habit), free=True) for habit in (0.12, 1e-9))
    more = with_habits.normal_equations(truth)[3] - without.normal_equations(truth)[3]
    for frame, column in ((3, 5), (10, 20)):
        change = np.zeros_like(truth.expression)
        change[frame, column] = 1e-3
        either = [replace(truth, expression=truth.expression + sign * change) for sign in (1, -1)]
        costs = [with_habits.cost(fit) - without.cost(fit) for fit in either]
        assert more[frame, 6 + column] == pytest.approx((costs[0] - costs[1]) / 4e-3, rel=1e-4)


def test_a_known_focal_length_is_kept(places: LandmarkPlaces, truth: Fit, found: Detections) -> None:
    priors = Priors(usual_focal=truth.focal / WIDTH, focal=1e-3)
    fit = solve(places, found, priors, starting_fit(places, found, priors), steps=8)
    assert abs(fit.focal / truth.focal - 1) < 0.01


def test_known_poses_are_kept_while_expressions_are_found(
    places: LandmarkPlaces, truth: Fit, found: Detections
) -> None:
    problem = Problem(places, found, Priors(), free=False)
    problem.fixed[:6] = True
    blank = replace(truth, expression=np.zeros_like(truth.expression), gaze=np.zeros_like(truth.gaze))
    fit = descend(problem, blank, 8)
    np.testing.assert_allclose(fit.rotation, truth.rotation, atol=1e-12)
    np.testing.assert_allclose(fit.translation, truth.translation, atol=1e-12)
    jaw = places.names.index("jawOpen")
    assert np.corrcoef(fit.expression[:, jaw], truth.expression[:, jaw])[0, 1] > 0.9


def test_long_clips_are_fitted_in_windows_with_one_identity(
    places: LandmarkPlaces, truth: Fit, found: Detections, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("LONGEST", 12), ("OVERLAP", 4), ("RUN", 4)):
        monkeypatch.setattr(windows, name, value)
    told: list[tuple[int, int]] = []
    fit = windows.fit_clip(
        places, found, Priors(correlated=1.0), lambda done, total: told.append((done, total))
    )
    assert fit.rotation.shape == (FRAMES, 3, 3)
    assert np.median(angles(fit, truth)) < 1.0
    assert float(np.median(reprojection(places, fit, found))) < 0.01
    assert told[-1][0] == told[-1][1]


def test_the_rig_stands_where_the_fit_has_the_skull(rig: Any, truth: Fit) -> None:
    rest = rig.prepare({"shape": torch.from_numpy(truth.shape).float()})
    parameters = rig_parameters(truth, rig, np.arange(FRAMES) / 25)
    neutral = {**parameters, "expression": 0 * parameters["expression"]}
    posed = rig(neutral).vertices.double().numpy()
    face = np.unique(rest.topology.triangles[rest.topology.regions["teeth"]].numpy())
    pose = camera_pose(truth)
    seen = posed[:, face] @ pose[:3, :3].T + pose[:3, 3]
    expected = np.einsum("tij,vj->tvi", truth.rotation, rest.vertices.double().numpy()[face])
    np.testing.assert_allclose(seen, expected + truth.translation[:, None], atol=2e-5)


def test_a_head_that_turns_on_its_neck_leaves_the_shoulders_still(rig: Any, truth: Fit) -> None:
    rig.prepare({"shape": torch.from_numpy(truth.shape).float()})
    model = rig.linear_model()
    neck = model.joints[model.joint_names.index("neck")].double().numpy()
    time = np.arange(100) / 25
    turn = Rotation.from_rotvec(
        np.stack([0 * time, 0.6 * np.sin(2 * np.pi * time / 4), 0 * time], 1)
    ).as_matrix()
    fit = Fit(
        330.0,
        truth.shape,
        TURNED @ turn,
        (neck - turn @ neck) @ TURNED.T + [0, 0, 0.5],
        np.zeros((100, len(truth.expression[0]))),
        np.zeros((100, 2)),
    )
    made = rig_parameters(fit, rig, time)
    assert made["rotation"].abs().max() < 0.01
    np.testing.assert_allclose(made["neck"][:, 1], 0.6 * np.sin(2 * np.pi * time / 4), atol=0.01)
    assert (made["translation"] - made["translation"].mean(dim=0)).abs().max() < 0.001


def test_shoulders_stand_as_still_where_frames_are_left_out(rig: Any, truth: Fit) -> None:
    rig.prepare({"shape": torch.from_numpy(truth.shape).float()})
    time = np.arange(250) / 25
    sway = np.stack([0.01 * time, 0 * time, 0.5 + 0 * time], axis=1)
    still = np.tile(TURNED, (250, 1, 1))
    faces = np.zeros((250, truth.expression.shape[1]))
    whole = Fit(330.0, truth.shape, still, sway, faces, np.zeros((250, 2)))
    kept = np.r_[0:100, 160:250]
    full = rig_parameters(whole, rig, time)["translation"][kept]
    some = rig_parameters(whole.part(kept), rig, time[kept])["translation"]
    assert (full - some).abs().max() < 0.0002


def test_another_mesh_is_refused(tmp_path: Path) -> None:
    from surfhead.plugins.rigs.ict.example import write_example

    with pytest.raises(DataError, match="The ICT head has"):
        landmark_places(make_rig(write_example(tmp_path)))


def test_an_outline_is_filled_and_soft() -> None:
    random = np.random.default_rng(0)
    angle, radius = random.uniform(0, 2 * np.pi, 40000), np.sqrt(random.uniform(0.2, 1, 40000))
    points = 60 * np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius[:, None] + [100, 80]
    mask = outline_mask(points, 160, 200)
    y, x = np.mgrid[:160, :200]
    distance = np.hypot(x + 0.5 - 100, y + 0.5 - 80)
    assert mask[distance < 55].min() == 255
    assert mask[distance > 66].max() == 0
    assert 0 < np.mean((mask > 0) & (mask < 255)) < 0.2

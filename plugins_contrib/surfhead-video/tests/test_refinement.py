"""Pixels bring a motion nearer to the truth, on drawn pictures of the built-in head; nothing else changes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from surfhead_video import refinement
from surfhead_video.refinement import Pictures, Plan, refine_motion
from torch import Tensor

from surfhead.core.api import DataError, Scene, create
from surfhead.data.opening import Opened, open_scene
from surfhead.runs.configuration import configure

QUICK = Plan(rounds=1, images=30, steps=6, batch=8, longest=48)
Motion = dict[str, Tensor]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """Six frames of one camera, and two with a motion of their own; their true motion."""
    pytest.importorskip("embreex", reason="embreex does not load")
    settings = {
        **{"name": "synthetic", "width": 64, "height": 64, "cache": str(tmp_path_factory.mktemp("drawn"))},
        **{"timesteps": 6, "test_timesteps": 2, "cameras": 2, "views_per_timestep": 1, "test_cameras": 1},
        **{"arc": 1.0, "supersampling": 1, "detail": 1, "texels": 2},
    }
    return open_scene(configure(preset="tiny", settings={"data": settings}))


@pytest.fixture
def truth(opened: Opened) -> Motion:
    return {name: rows.clone() for name, rows in opened.scene.rig_parameters.items()}


@pytest.fixture
def disturbed(opened: Opened, truth: Motion, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """The same with each pose some millimetres and degrees off, as after a rough tracking."""
    generator = torch.Generator().manual_seed(1)
    moved = dict(truth)
    for name, size in (("translation", 0.004), ("rotation", 0.04)):
        moved[name] = truth[name] + size * torch.randn(truth[name].shape, generator=generator)
    monkeypatch.setattr(opened.scene, "rig_parameters", moved)
    return opened


def off(scene: Scene, motion: Motion, truth: Motion) -> np.ndarray:
    """(M,) how far the vertices are off in each picture on average, pixels."""
    rig = create("rig", scene.rig, scene.rig_options)
    rig.prepare(scene.identity)
    made = []
    for view, timestep in enumerate(scene.views.timestep.tolist()):
        pixels = []
        for rows in (motion, truth):
            one = {name: values[timestep : timestep + 1] for name, values in rows.items()}
            pose, intrinsics = scene.views.camera_from_world[view], scene.views.intrinsics[view]
            seen = rig(one).vertices[0].double().numpy() @ pose[:3, :3].T + pose[:3, 3]
            plane = seen @ intrinsics.T
            pixels.append(plane[:, :2] / plane[:, 2:])
        made.append(np.linalg.norm(pixels[0] - pixels[1], axis=1).mean())
    return np.array(made)


def test_poses_are_brought_nearer_to_the_truth_in_all_splits_alike(disturbed: Opened, truth: Motion) -> None:
    scene = disturbed.scene
    before = {name: rows.clone() for name, rows in scene.rig_parameters.items()}
    splits = scene.views.split.copy()
    refined = refine_motion(disturbed, QUICK, "cpu")
    start, end = off(scene, before, truth), off(scene, refined.motion, truth)
    assert end.mean() < 0.7 * start.mean()
    held_out = splits == "test"
    assert held_out.sum() == 2
    assert end[held_out].mean() < 0.75 * start[held_out].mean()
    assert refined.losses.shape == (1, 2)
    assert refined.losses[0, 1] < 0.9 * refined.losses[0, 0]
    # what was opened is as it was
    assert (scene.views.split == splits).all()
    assert all(torch.equal(scene.rig_parameters[name], rows) for name, rows in before.items())
    assert {name: rows.shape for name, rows in refined.motion.items()} == {
        name: rows.shape for name, rows in before.items()
    }


def test_nothing_stays_is_said_or_drawn_from_the_users_random_numbers(
    disturbed: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    told: list[tuple[str, int, int]] = []
    plan = Plan(rounds=2, images=2, steps=1, batch=8, longest=32)
    refined = refine_motion(disturbed, plan, "cpu", lambda *said: told.append(said))
    assert torch.equal(torch.rand(3), wanted)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")
    stages = [f"{what}, round {n} of 2" for n in (1, 2) for what in ("Quick avatar", "Motion by pixels")]
    assert list(dict.fromkeys(stage for stage, _, _ in told)) == stages
    last = {stage: (done, total) for stage, done, total in told}
    assert last == dict(zip(stages, 2 * [(2, 2), (8, 8)], strict=True))
    assert list(refined.seconds) == [stage.lower() for stage in stages]
    assert len(refined.losses) == 2


def test_a_second_round_begins_from_the_motion_of_the_first(
    disturbed: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    real = refinement.Pictures

    def watched(scene: Scene, motion: Motion, longest: int) -> Pictures:
        seen.append({name: rows.clone() for name, rows in motion.items()})
        return real(scene, motion, longest)

    monkeypatch.setattr(refinement, "Pictures", watched)
    plan = Plan(rounds=1, images=2, steps=2, batch=8, longest=32)
    first = refine_motion(disturbed, plan, "cpu")
    refine_motion(disturbed, Plan(**{**vars(plan), "rounds": 2}), "cpu")
    assert len(seen) == 3
    for name, rows in first.motion.items():
        torch.testing.assert_close(seen[2][name], rows)
        assert torch.equal(seen[1][name], disturbed.scene.rig_parameters[name])
    assert not torch.equal(first.motion["translation"], disturbed.scene.rig_parameters["translation"])


def test_what_is_not_finite_is_an_error(disturbed: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    real = refinement.fit_motion

    def broken(*given: object, **named: object) -> object:
        fit = real(*given, **named)  # type: ignore[arg-type]
        fit.motion["neck"][3] = float("nan")
        return fit

    monkeypatch.setattr(refinement, "fit_motion", broken)
    with pytest.raises(DataError, match="is not finite"):
        refine_motion(disturbed, Plan(rounds=1, images=1, steps=1, longest=32), "cpu")


def test_pictures_are_made_smaller_with_their_cameras(opened: Opened, truth: Motion) -> None:
    scene = opened.scene
    small = Pictures(scene, truth, 40)
    assert set(small.views.split) == {"train"}
    assert small.views.size(0) == (40, 40)
    frame = small.frame(3)
    assert (frame.image.shape, frame.image.dtype) == ((40, 40, 3), np.uint8)
    given = scene.frame(3)
    assert given.mask is not None
    assert frame.mask is not None
    # where the head is, as a share of the picture, is where it was
    places = [np.argwhere(mask > 127).mean(axis=0) / len(mask) for mask in (given.mask, frame.mask)]
    np.testing.assert_allclose(places[0], places[1], atol=0.01)
    np.testing.assert_allclose(small.views.intrinsics[:, :2], scene.views.intrinsics[:, :2] * 40 / 64)
    np.testing.assert_array_equal(small.views.intrinsics[:, 2], scene.views.intrinsics[:, 2])
    # none is made larger
    whole = Pictures(scene, truth, 512)
    assert whole.views.size(0) == (64, 64)
    np.testing.assert_array_equal(whole.frame(3).image, given.image)

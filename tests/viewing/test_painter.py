"""Painted shots: every channel, training cameras and their truth, hidden regions, how pictures are framed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from surfhead.avatars.avatar import Avatar
from surfhead.core.errors import ShapeError
from surfhead.core.scene import Scene
from surfhead.data.feed import cameras_of
from surfhead.data.opening import open_scene
from surfhead.drawing.channels import CHANNELS, paint
from surfhead.drawing.pictures import to_bytes
from surfhead.runs.run import load_avatar, read_config
from surfhead.viewing.painter import Painter, framed
from surfhead.viewing.puppet import Stance, Track
from surfhead.viewing.shot import Request, Shot
from surfhead.viewing.training_views import TrainingViews
from surfhead.viewing.variants import Look
from surfhead.viewing.viewpoint import start_viewpoint


@pytest.fixture(scope="module")
def scene(trained_run: Path) -> Scene:
    return open_scene(read_config(trained_run)).scene


@pytest.fixture(scope="module")
def avatar(trained_run: Path) -> Avatar:
    return load_avatar(trained_run, device="cpu")


@pytest.fixture(scope="module")
def painter(avatar: Avatar, scene: Scene) -> Painter:
    return Painter(avatar, TrainingViews(scene))


@pytest.fixture(scope="module")
def shot(avatar: Avatar) -> Shot:
    return Shot(start_viewpoint(avatar)[0])


@pytest.mark.parametrize("channel", [name for name in CHANNELS if name != "error"])
def test_every_channel_is_that_of_paint(painter: Painter, shot: Shot, channel: str) -> None:
    drawn = painter.picture(replace(shot, channel=channel, stance=Stance(timestep=1)), 40, 60)
    expected = paint(painter.avatar, shot.viewpoint.cameras(40, 60), 1, [channel])[channel]
    np.testing.assert_array_equal(drawn, to_bytes(expected))


def test_a_training_view_and_its_error(painter: Painter, shot: Shot, scene: Scene) -> None:
    views = painter.views
    assert views is not None
    number, step = views.numbers[1], 2
    row = views.row(number, step)
    assert row is not None
    at = replace(shot, camera=number, stance=Stance(timestep=step), channel="error")
    height, width = scene.views.height, scene.views.width
    drawn = painter.picture(at, height, width)
    truth = torch.from_numpy(np.array(scene.frame(row).image)) / 255
    expected = paint(painter.avatar, cameras_of(scene, [row], "cpu"), step, ["error"], truth=truth)["error"]
    np.testing.assert_array_equal(drawn, to_bytes(expected))
    assert drawn.max() > 100  # thirty images teach little


def test_the_split_is_truth_on_the_left_and_render_on_the_right(
    painter: Painter, shot: Shot, scene: Scene
) -> None:
    assert painter.views is not None
    number = painter.views.numbers[0]
    height, width = scene.views.height, scene.views.width
    at = replace(shot, camera=number, split=0.5)
    row = painter.views.row(number, 0)
    assert row is not None
    both, drawn = painter.picture(at, height, width), painter.picture(replace(at, split=0.0), height, width)
    edge = width // 2
    np.testing.assert_array_equal(both[:, : edge - 1], scene.frame(row).image[:, : edge - 1])
    np.testing.assert_array_equal(both[:, edge + 1 :], drawn[:, edge + 1 :])


def test_the_error_needs_a_training_camera_and_its_own_motion(painter: Painter, shot: Shot) -> None:
    free = replace(shot, channel="error")
    plain = painter.picture(shot, 40, 60)
    np.testing.assert_array_equal(painter.picture(free, 40, 60), plain)
    assert painter.views is not None
    other = Track("other", painter.avatar.motion)
    moved = replace(free, camera=painter.views.numbers[0], stance=Stance(other))
    assert painter.row(moved) is None
    assert Painter(painter.avatar).row(replace(moved, stance=Stance())) is None


def test_hidden_regions_are_not_drawn(painter: Painter, shot: Shot) -> None:
    hidden = replace(shot, look=Look(hidden=frozenset({"eyeballs"})))
    surfels = painter.avatar.surfels
    raw = surfels.parameters["opacity"]
    with torch.no_grad():
        saved = raw.clone()
        raw[surfels.regions["eyeballs"]] = -60.0
        expected = painter.picture(shot, 80, 80)
        raw.copy_(saved)
    np.testing.assert_array_equal(painter.picture(hidden, 80, 80), expected)
    assert (expected != painter.picture(shot, 80, 80)).any()


def test_opacity_and_background(painter: Painter, shot: Shot) -> None:
    red = painter.picture(replace(shot, background=(1.0, 0.0, 0.0)), 40, 40)
    assert red[0, 0].tolist() == [255, 0, 0]
    faint = painter.picture(replace(shot, channel="alpha", opacity_scale=0.1), 40, 40).astype(int)
    solid = painter.picture(replace(shot, channel="alpha"), 40, 40).astype(int)
    assert faint.mean() < 0.8 * solid.mean()
    assert (faint <= solid + 1).all()


def test_a_request_has_the_windows_shape(painter: Painter, shot: Shot) -> None:
    assert painter.draw(Request(shot, 1.6, 64, True, 1)).shape == (40, 64, 3)


def test_the_mesh_is_the_rigs(painter: Painter, shot: Shot) -> None:
    posed = painter.vertices(replace(shot, stance=Stance(timestep=1)))
    expected = painter.avatar.rig(painter.avatar.poses(torch.tensor([1]))).vertices[0]
    np.testing.assert_array_equal(posed, expected.numpy())


def test_pictures_in_turn_are_those_alone(painter: Painter, shot: Shot) -> None:
    """Whatever they show; an error comes in its place and ends them."""
    shots = [replace(shot, stance=Stance(timestep=1)), replace(shot, channel="depth"), shot]
    number = painter.views.numbers[0]  # type: ignore[union-attr]
    shots.append(replace(shot, camera=number, split=0.5))
    found = list(painter.pictures(iter(shots), 40, 60))
    assert len(found) == len(shots)
    for picture, each in zip(found, shots, strict=True):
        np.testing.assert_array_equal(picture, painter.picture(each, 40, 60))
    assert (found[0] != found[2]).any()
    wrong = replace(shot, stance=Stance(held={("jaw", 0): float("nan")}))
    taken = painter.pictures([shot, wrong, shot], 40, 60)
    np.testing.assert_array_equal(next(taken), found[2])
    with pytest.raises(ShapeError, match='"jaw" holds NaN'):
        next(taken)
    assert list(taken) == []


def test_a_picture_shows_the_avatar_as_it_was_asked_for(painter: Painter, shot: Shot) -> None:
    """Surfels, motion and background may change in place between two pictures."""
    avatar = painter.avatar
    for changed in (avatar.surfels.parameters["opacity"], avatar.motion["translation"], avatar.background):
        before = painter.begin(shot, 30, 30)
        kept = changed.detach().clone()
        with torch.no_grad():
            changed.sub_(0.05 if changed is not avatar.surfels.parameters["opacity"] else 3.0)
        after = painter.picture(shot, 30, 30)
        assert (before.wait() != after).any()
        with torch.no_grad():
            changed.copy_(kept)
        np.testing.assert_array_equal(painter.picture(shot, 30, 30), before.wait())


def test_framing() -> None:
    picture = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)
    grey = np.array([7, 7, 7], np.uint8)
    np.testing.assert_array_equal(framed(picture, 2, grey), picture[:, 1:3])
    wide = framed(picture, 7, grey)
    np.testing.assert_array_equal(wide[:, 1:5], picture)
    assert (wide[:, [0, 5, 6]] == 7).all()

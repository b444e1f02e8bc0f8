"""The cameras of a data set as places to stand at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from surfhead.core.errors import UnknownNameError
from surfhead.data.opening import open_scene
from surfhead.runs.run import read_config
from surfhead.viewing.training_views import KEPT, TrainingViews


@pytest.fixture(scope="module")
def views(trained_run: Path) -> TrainingViews:
    return TrainingViews(open_scene(read_config(trained_run)).scene)


def test_every_view_is_found(views: TrainingViews) -> None:
    rows = views.scene.views
    for row in range(len(rows)):
        assert views.row(int(rows.camera[row]), int(rows.timestep[row])) == row
    assert views.row(views.numbers[0], 10**6) is None
    assert views.row(-5, 0) is None


def test_the_nearest_timestep(views: TrainingViews) -> None:
    number = views.numbers[0]
    seen = sorted(views.scene.views.timestep[views.scene.views.camera == number].tolist())
    assert views.nearest_timestep(number, seen[1]) == seen[1]
    assert views.nearest_timestep(number, 10**6) == seen[-1]
    with pytest.raises(UnknownNameError, match='"99"'):
        views.nearest_timestep(99, 0)


def test_a_viewpoint_draws_what_the_camera_draws(views: TrainingViews) -> None:
    number = views.numbers[2]
    row = views.row(number, views.nearest_timestep(number, 0))
    assert row is not None
    height, width = views.scene.views.height, views.scene.views.width
    own, free = views.cameras(row, height), views.viewpoint(number).cameras(height, width)
    torch.testing.assert_close(own.camera_from_world, free.camera_from_world, atol=1e-6, rtol=0)
    torch.testing.assert_close(own.intrinsics, free.intrinsics, atol=1e-3, rtol=0)  # centred, square pixels


def test_cameras_and_pictures_scale_together(views: TrainingViews) -> None:
    height, width = views.scene.views.height, views.scene.views.width
    double = views.cameras(0, 2 * height)
    assert (double.height, double.width) == (2 * height, 2 * width)
    torch.testing.assert_close(double.intrinsics[0, :2], 2 * views.cameras(0, height).intrinsics[0, :2])
    np.testing.assert_array_equal(views.picture(0, height, width), views.scene.frame(0).image)
    half = views.picture(0, height // 2, width // 2).astype(float)
    mean = (
        views.scene.frame(0).image.astype(float).reshape(height // 2, 2, width // 2, 2, 3).mean(axis=(1, 3))
    )
    assert np.abs(half - mean).max() <= 1.0  # rounded twice: along rows, then columns


def test_few_pictures_are_kept(views: TrainingViews) -> None:
    for row in range(min(len(views.scene.views), KEPT + 4)):
        views.picture(row, 8, 8)
    assert len(views._kept) <= KEPT

"""Viewpoints: to a browser's camera and back, picture sizes, and the place in front of a face."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from surfhead.core.types import Cameras
from surfhead.viewing.viewpoint import Viewpoint, fitted, picture_size, start_viewpoint
from tests.runs.tiny_run import tiny_avatar


def projected(cameras: Cameras, point: list[float]) -> tuple[float, float]:
    """Column and row of a world point, pixels."""
    at = cameras.camera_from_world[0] @ torch.tensor([*point, 1.0])
    pixel = cameras.intrinsics[0] @ at[:3]
    return float(pixel[0] / pixel[2]), float(pixel[1] / pixel[2])


def test_looking_at_a_point_puts_it_in_the_middle_with_up_upwards() -> None:
    view = Viewpoint.looking((1.0, 2.0, 3.0), (0.1, 0.2, 0.3), (0.0, 1.0, 0.0), 0.6)
    cameras = view.cameras(200, 300)
    assert projected(cameras, [0.1, 0.2, 0.3]) == pytest.approx((150.0, 100.0), abs=1e-3)
    column, row = projected(cameras, [0.1, 0.3, 0.3])
    assert (column, row < 100.0) == (pytest.approx(150.0, abs=1e-3), True)


def test_the_field_of_view_is_vertical() -> None:
    view = Viewpoint((0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0), math.radians(40))
    cameras = view.cameras(100, 400)
    _, row = projected(cameras, [0.0, math.tan(math.radians(20)), 1.0])
    assert row == pytest.approx(100.0, abs=1e-4)


def test_a_rigid_transform_survives_the_way_there_and_back() -> None:
    turn = torch.linalg.qr(
        torch.randn(3, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    )[0]
    turn = turn * torch.linalg.det(turn)
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, :3], pose[:3, 3] = turn, torch.tensor([0.3, -0.2, 1.5])
    view = Viewpoint.of(pose, 0.5)
    assert torch.allclose(view.camera_from_world, pose, atol=1e-9)
    np.testing.assert_allclose(view.forward, turn[2].numpy(), atol=1e-9)
    np.testing.assert_allclose(view.up, -turn[1].numpy(), atol=1e-9)


@pytest.mark.parametrize(
    ("aspect", "size"), [(1.0, (512, 512)), (2.0, (256, 512)), (0.5, (512, 256)), (100.0, (5, 512))]
)
def test_picture_sizes(aspect: float, size: tuple[int, int]) -> None:
    assert picture_size(aspect, 512) == size


def test_near_knows_an_echo_from_a_move() -> None:
    view = Viewpoint.looking((0.0, 0.0, 1.0), (0.0, 0.0, 0.0), (0.0, 1.0, 0.0), 0.5)
    w, x, y, z = view.wxyz
    assert view.near(Viewpoint(view.position, (-w, -x, -y, -z), 0.5))  # the same rotation
    assert not view.near(Viewpoint((0.0, 0.01, 1.0), view.wxyz, 0.5))
    assert not view.near(Viewpoint.looking((0.0, 0.0, 1.0), (0.02, 0.0, 0.0), (0.0, 1.0, 0.0), 0.5))
    assert not view.near(Viewpoint(view.position, view.wxyz, 0.6))


def test_the_start_is_in_front_and_follows_the_first_pose() -> None:
    avatar = tiny_avatar()
    view, target = start_viewpoint(avatar)
    x, y, z = view.position
    assert (x, y) == pytest.approx((0.0, 0.0), abs=1e-6)
    assert z > 0.2  # the octahedron's front is +z
    assert target == pytest.approx((0.0, 0.0, 0.0), abs=1e-6)
    avatar.motion["translation"][0] = torch.tensor([0.5, 0.0, 0.0])
    moved, aim = start_viewpoint(avatar)
    assert moved.position == pytest.approx((0.5, 0.0, z), abs=1e-6)
    assert aim == pytest.approx((0.5, 0.0, 0.0), abs=1e-6)


def test_a_narrow_picture_shows_a_head_from_further_away() -> None:
    view = Viewpoint.looking((0.0, 0.1, 2.0), (0.0, 0.1, 0.0), (0.0, 1.0, 0.0), 0.4)
    assert fitted(view, (0.0, 0.1, 0.0), 1.5) == view
    away = fitted(view, (0.0, 0.1, 0.0), 0.4)
    assert away.position == pytest.approx((0.0, 0.1, 4.0))
    assert (away.wxyz, away.fov) == (view.wxyz, view.fov)

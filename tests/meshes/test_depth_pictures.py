"""What depth pictures say of points, against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from surfhead.core.errors import ShapeError
from surfhead.core.types import Cameras
from surfhead.meshes.depth_pictures import DepthPictures, picture_colours, prepare, side_by_side
from tests.meshes.depth_scenes import facing_plane, sphere


def say(pictures: DepthPictures, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Distance and weight that one picture gives for points (M, 3)."""
    (patches,) = prepare([pictures], "cpu")
    q = points @ patches.projection[:, :3].mT + patches.projection[:, 3]
    distance, weight, *_ = patches.look_up((q[:, 0], q[:, 1], q[:, 2]))
    return distance, weight


def test_the_distance_to_a_slanted_plane_is_along_its_normal_where_the_ray_meets_it() -> None:
    slope = 0.5
    pictures = facing_plane(1.0, slope=slope)
    points = torch.tensor([[0.01, 0.02, -0.004], [-0.03, 0.01, -0.02], [0.02, -0.05, 0.012]])
    distance, weight = say(pictures, points)
    # along the ray (x, y, 1) s from the camera at (0, 0, -1), the plane is met at s = 1 / (1 - slope x)
    ray = points + torch.tensor([0.0, 0.0, 1.0])
    z = 1.0 / (1.0 - slope * ray[:, 0] / ray[:, 2])
    met = ray / ray[:, 2:] * z[:, None] - torch.tensor([0.0, 0.0, 1.0])
    normal = torch.tensor([slope, 0.0, -1.0]) / math.sqrt(1 + slope**2)
    assert torch.allclose(distance, ((points - met) @ normal), atol=2e-5)
    direction = ray / ray.norm(dim=1, keepdim=True)
    assert torch.allclose(weight, (direction @ normal).abs(), atol=2e-3)


def test_outside_the_picture_behind_the_camera_and_without_weight_nothing_is_said() -> None:
    pictures = facing_plane(1.0)
    points = torch.tensor([[0.2, 0.0, 0.0], [0.0, 0.0, -2.0], [0.0, 0.0, 0.001]])
    assert (say(pictures, points)[1] > 0).tolist() == [False, False, True]
    blank = DepthPictures(pictures.cameras, pictures.depth, torch.zeros_like(pictures.weight))
    assert float(say(blank, points)[1].abs().max()) == 0.0


def test_over_a_step_in_depth_and_at_a_depth_that_is_no_number_nothing_is_said() -> None:
    pictures = facing_plane(1.0)
    depth = pictures.depth.clone()
    depth[:, :, 24:] += 0.1
    depth[:, 5, 5] = float("nan")
    distance, weight = say(
        DepthPictures(pictures.cameras, depth, pictures.weight),
        torch.tensor([[-0.02, 0.0, 0.0], [0.0, 0.0, 0.0], [0.02, 0.0, 0.0], [-0.077, -0.077, 0.0]]),
    )
    assert (weight > 0).tolist() == [True, False, True, False]
    assert float(distance[0]) == pytest.approx(0.0, abs=1e-6)
    assert float(distance[2]) == pytest.approx(0.1, rel=1e-3)
    assert bool(torch.isfinite(distance).all())


def test_colours_of_a_sphere_are_those_of_its_pictures() -> None:
    pictures = sphere(views=12, size=96)
    direction = torch.nn.functional.normalize(torch.randn(500, 3, generator=torch.Generator().manual_seed(0)))
    direction = direction[direction[:, 1] > -0.5]
    rgb, seen = picture_colours(prepare([pictures], "cpu"), 0.05 * direction, 0.002)
    assert bool(seen.all())
    # bilinear over pixels of 1.2 mm on a sphere of 50 mm: second order, less than 0.002
    assert float((rgb - (0.5 + 0.5 * direction)).abs().max()) < 0.01
    inside, seen = picture_colours(prepare([pictures], "cpu"), 0.04 * direction, 0.002)
    assert not bool(seen.any())
    assert float(inside.abs().max()) == 0.0


def test_shapes_are_checked() -> None:
    good = facing_plane(1.0)
    with pytest.raises(ShapeError, match='"weight" has shape'):
        DepthPictures(good.cameras, good.depth, good.weight[:, 1:])
    with pytest.raises(ShapeError, match='"rgb" has shape'):
        DepthPictures(good.cameras, good.depth, good.weight, torch.zeros(1, 2, 2, 3))
    thin = Cameras(good.cameras.camera_from_world, good.cameras.intrinsics, 1, 48)
    with pytest.raises(ShapeError, match="1 by 48 pixels"):
        DepthPictures(thin, good.depth[:, :1], good.weight[:, :1])


def test_work_side_by_side_keeps_its_order_passes_errors_on_and_gives_the_threads_back() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with side_by_side(torch.device("cpu")) as run:
            inner = run(lambda part: (part, torch.get_num_threads()), list(range(20)))
        assert inner == [(part, 1) for part in range(20)]
        assert torch.get_num_threads() == 2

        def fail(part: int) -> None:
            raise ValueError(f"part {part}")

        with pytest.raises(ValueError, match="part 0"), side_by_side(torch.device("cpu")) as run:
            run(fail, [0])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)

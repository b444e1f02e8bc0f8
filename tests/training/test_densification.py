"""The densification statistic: the gradient of the screen centre, over the views that saw a surfel."""

from __future__ import annotations

from dataclasses import replace

import torch

from surfhead.core.registry import create
from surfhead.core.types import Cameras, RenderOutput, WorldSurfels
from surfhead.testing import tiny
from surfhead.training.statistics import Statistics

HEIGHT, WIDTH = 20, 30


def drawn(cameras: Cameras, surfels: WorldSurfels) -> tuple[torch.Tensor, RenderOutput]:
    """World centres, one pose a view, with the gradient of a loss that is a mean over the views."""
    views = len(cameras)
    mean = surfels.mean.expand(views, -1, -1).clone().requires_grad_()
    world = WorldSurfels(
        mean,
        surfels.tangents.expand(views, -1, -1, -1),
        surfels.normal.expand(views, -1, -1),
        surfels.opacity,
    )
    colour = torch.rand(1, len(surfels), 3, generator=tiny.generator(1), dtype=torch.float64)
    background = torch.zeros(views, 3, dtype=torch.float64)
    output = create("rasterizer", "torch")(
        world, colour.expand(views, -1, -1), cameras, torch.arange(views), background
    )
    weight = torch.linspace(0.5, 1.5, HEIGHT * WIDTH, dtype=torch.float64).reshape(HEIGHT, WIDTH, 1)
    (output.rgb * weight).flatten(1).sum(dim=1).mean().backward()
    return mean, output


def statistics_of(cameras: Cameras, surfels: WorldSurfels) -> Statistics:
    found = Statistics(len(surfels), "cpu")
    mean, output = drawn(cameras, surfels)
    found.update(mean, cameras, output)
    return found


def test_it_is_the_gradient_of_the_centre_in_device_coordinates() -> None:
    cameras = tiny.cameras(1, HEIGHT, WIDTH, dtype=torch.float64)
    surfels = tiny.surfels(4)
    found = statistics_of(cameras, surfels)
    mean, _ = drawn(cameras, surfels)
    pose, intrinsics = cameras.camera_from_world[0], cameras.intrinsics[0]
    assert mean.grad is not None
    for i in range(4):
        camera = pose[:3, :3] @ surfels.mean[0, i] + pose[:3, 3]
        gradient = pose[:3, :3] @ mean.grad[0, i]
        # moving the centre by one device unit along x moves it by m.z / fx * W / 2 metres in camera space
        x = gradient[0] * camera[2] / intrinsics[0, 0] * WIDTH / 2
        y = gradient[1] * camera[2] / intrinsics[1, 1] * HEIGHT / 2
        torch.testing.assert_close(found.gradient[i].double(), torch.hypot(x, y), rtol=1e-5, atol=1e-7)
    assert float(found.gradient.min()) > 0


def test_a_batch_counts_like_its_views_one_by_one() -> None:
    cameras = tiny.cameras(3, HEIGHT, WIDTH, dtype=torch.float64)
    surfels = tiny.surfels(6)
    together = statistics_of(cameras, surfels)
    alone = [statistics_of(cameras[i : i + 1], surfels) for i in range(3)]
    torch.testing.assert_close(together.gradient, torch.stack([s.gradient for s in alone]).sum(0))
    assert torch.equal(together.seen, torch.stack([s.seen for s in alone]).sum(0))
    assert torch.equal(together.radius, torch.stack([s.radius for s in alone]).amax(0))


def test_the_mean_is_over_the_views_that_saw_the_surfel() -> None:
    cameras = tiny.cameras(2, HEIGHT, WIDTH, dtype=torch.float64)
    surfels = tiny.surfels(5)
    mean, output = drawn(cameras, surfels)
    visible = output.visible.clone()
    visible[1, 0] = False
    visible[:, 1] = False
    found = Statistics(5, "cpu")
    found.update(mean, cameras, replace(output, visible=visible))
    assert found.seen.tolist() == [1.0, 0.0, 2.0, 2.0, 2.0]
    torch.testing.assert_close(found.mean_gradient()[0], found.gradient[0])
    torch.testing.assert_close(found.mean_gradient()[2], found.gradient[2] / 2)
    assert found.mean_gradient()[1] == 0


def test_without_a_gradient_nothing_is_counted() -> None:
    cameras = tiny.cameras(1, HEIGHT, WIDTH, dtype=torch.float64)
    surfels = tiny.surfels(3)
    _, output = drawn(cameras, surfels)
    found = Statistics(3, "cpu")
    found.update(surfels.mean, cameras, output)
    assert all(float(value.sum()) == 0 for value in found.tensors().values())

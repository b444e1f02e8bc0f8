"""Normals on the camera's side: of single surfels, and in an avatar's pictures."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from surfhead.core.api import create
from surfhead.kernels import ops
from surfhead.testing import tiny
from tests.runs.tiny_run import tiny_avatar

OUTWARD, INWARD = torch.tensor([[1.0, 0.0, 0.0, 0.0]]), torch.tensor([[0.0, 0.0, 2.0, 0.1]])


def test_an_outline_seen_from_behind_keeps_its_own_side() -> None:
    """Before a camera that looks along z: just aslant, at 45°, straight away, and on the camera's side."""
    angles = torch.tensor([0.01, math.pi / 4, math.pi / 2, -0.3])
    mean, centre = torch.tensor([1.0, 0.0, 2.0]).expand(1, 4, 3), torch.tensor([[1.0, 0.0, 0.0]])
    normals = torch.stack([angles.cos(), torch.zeros(4), angles.sin()], dim=-1)[None]
    wanted = normals * torch.tensor([1.0, 1.0, -1.0])
    wanted[0, 3] = normals[0, 3]
    torch.testing.assert_close(ops.facing_normals(mean, normals, OUTWARD.expand(4, 4), centre), wanted)
    torch.testing.assert_close(ops.facing_normals(mean, -normals, INWARD.expand(4, 4), centre), wanted)
    turned = normals * torch.tensor([-1.0, -1.0, -1.0, 1.0])[:, None]
    torch.testing.assert_close(ops.facing_normals(mean, normals, None, centre), turned)


@pytest.mark.parametrize("paired", [True, False])
def test_pictures_of_normals_show_the_outer_side(paired: bool) -> None:
    """What the rasterizer makes of such normals, also of two views of one pose, where they differ."""
    avatar, cameras = tiny_avatar(), tiny.cameras(2)
    with torch.no_grad():
        avatar.surfels.parameters["opacity"].fill_(5.0)
        avatar.surfels.parameters["quaternion"] += 0.4 * torch.randn(8, 4, generator=tiny.generator(1))
    place = torch.arange(2) if paired else torch.zeros(2, dtype=torch.int64)
    poses = avatar.poses(torch.arange(2) if paired else torch.zeros(1, dtype=torch.int64))
    found = avatar.draw(cameras, poses, place, torch.ones(2, 3), paired=paired)
    world = found.surfels
    assert world.normal.shape[0] == (2 if paired else 1), "those of the surfels stay what they are"
    means, normals = world.mean[place], world.normal[place]
    facing = ops.facing_normals(means, normals, avatar.surfels.parameters["quaternion"], cameras.centre)
    assert not torch.equal(facing[0], facing[1])
    shown = replace(world, mean=means, tangents=world.tangents[place], normal=facing)
    with torch.no_grad():
        wanted = create("rasterizer", "torch")(
            shown, found.colour.rgb, cameras, torch.arange(2), torch.ones(2, 3)
        )
    torch.testing.assert_close(found.output.normal, wanted.normal, atol=1e-5, rtol=1e-4)
    plain = create("rasterizer", "torch")(world, found.colour.rgb, cameras, place, torch.ones(2, 3))
    torch.testing.assert_close(found.output.rgb, plain.rgb, atol=1e-5, rtol=1e-4)
    assert float((found.output.normal - plain.normal).detach().abs().max()) > 0.1, "nothing looks away"

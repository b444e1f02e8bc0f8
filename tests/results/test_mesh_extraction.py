"""Meshes of small avatars."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch

from surfhead.avatars.avatar import Avatar
from surfhead.core.errors import DataError, OptionError, UnknownNameError
from surfhead.core.scene import Frame, Scene, Views
from surfhead.drawing.camera_path import HIGHEST, LOWEST, around
from surfhead.results.mesh_extraction import (
    MARGIN,
    MeshSettings,
    cameras_for,
    canonical_pose,
    extract_mesh,
    head_box,
    pose_at,
    training_cameras,
)
from tests.runs.tiny_run import tiny_avatar

QUICK = MeshSettings(voxel=0.006, views=8, size=40, smooth=0)


@pytest.fixture
def avatar() -> Avatar:
    """The octahedron, its surfels large and opaque, so that they close it."""
    made = tiny_avatar()
    made.surfels.parameters["opacity"].data[:] = 12.0
    made.surfels.parameters["log_scale"].data[:] = math.log(0.5)
    made.motion = {"translation": torch.tensor([[0.0, 0, 0], [0.5, 0.1, -0.2]])}
    return made


class Filmed(Scene):
    """Three training cameras and a held-out one; the masks of timestep 1 are empty on the left."""

    def __init__(self) -> None:
        side = torch.full((3,), 0.1)
        cameras = around(-side, side, 4, (60, 80))
        rows = [0, 1, 2, 3, 1]
        views = Views(
            cameras.camera_from_world.double().numpy()[rows],
            cameras.intrinsics.double().numpy()[rows],
            np.array([0, 0, 0, 0, 1]),
            np.array(rows),
            np.array(["train", "train", "train", "val", "train"]),
            tuple(f"view-{i}" for i in range(5)),
            60,
            80,
        )
        super().__init__(views, rig="octahedron", rig_parameters={"translation": torch.zeros(2, 3)})

    def frame(self, view: int) -> Frame:
        mask = np.full((60, 80), 255, dtype=np.uint8)
        if self.views.timestep[view] == 1:
            mask[:, :40] = 0
        return Frame(np.zeros((60, 80, 3), dtype=np.uint8), mask)


def test_a_lit_avatar_gives_its_albedo_and_others_what_they_show(avatar: Avatar) -> None:
    lit = tiny_avatar(appearance="lit")
    for name, value in avatar.surfels.parameters.items():
        if name in lit.surfels.parameters and name != "albedo":
            lit.surfels.parameters[name].data.copy_(value)
    with torch.no_grad():
        lit.surfels.parameters["albedo"].copy_(torch.tensor([2.0, 0.0, -2.0]).expand(8, 3))
        lit.appearance.network().light[1] = -2.0  # type: ignore[union-attr, index] # light from behind
    bare = extract_mesh(lit, canonical_pose(lit), QUICK).colours
    assert bare is not None
    wanted = 255.0 * torch.sigmoid(torch.tensor([2.0, 0.0, -2.0]))
    assert (bare.float() - wanted).abs().max() < 3.0
    shown = extract_mesh(lit, canonical_pose(lit), replace(QUICK, colours="shown")).colours
    assert shown is not None
    assert float((shown.float() - wanted).abs().max()) > 30.0
    with pytest.raises(OptionError, match='"sh" has no light'):
        extract_mesh(avatar, canonical_pose(avatar), replace(QUICK, colours="albedo"))


def test_the_mesh_follows_the_pose(avatar: Avatar) -> None:
    rest = extract_mesh(avatar, canonical_pose(avatar), QUICK)
    assert len(rest.triangles) > 300
    assert bool(torch.isfinite(rest.vertices).all())
    assert rest.colours is not None
    assert rest.colours.shape == rest.vertices.shape
    # surfels lie flat on the octahedron |x| + |y| + |z| = 0.1; large ones stick out at its edges
    off = (rest.vertices.abs().sum(dim=1) - 0.1).abs() / math.sqrt(3)
    assert float(off.median()) < QUICK.voxel
    moved = extract_mesh(avatar, pose_at(avatar, 1), QUICK)
    shift = moved.vertices.mean(dim=0) - rest.vertices.mean(dim=0)
    assert torch.allclose(shift, torch.tensor([0.5, 0.1, -0.2]), atol=0.002)


def test_the_box_bounds_the_mesh_and_is_the_posed_heads_by_default(avatar: Avatar) -> None:
    low, high = head_box(avatar, pose_at(avatar, 1))
    assert torch.allclose(low, torch.tensor([0.4, 0.0, -0.3]) - MARGIN)
    assert torch.allclose(high, torch.tensor([0.6, 0.2, -0.1]) + MARGIN)
    half = replace(QUICK, box=((-0.2, -0.2, 0.02), (0.2, 0.2, 0.2)))
    mesh = extract_mesh(avatar, canonical_pose(avatar), half)
    assert float(mesh.vertices[:, 2].min()) >= 0.02
    with pytest.raises(DataError, match="No surface was found"):
        extract_mesh(avatar, canonical_pose(avatar), replace(QUICK, box=((5.0, 5.0, 5.0), (5.1, 5.1, 5.1))))


def test_cameras_round_a_box_see_it_whole_between_the_lowest_and_the_highest() -> None:
    low, high = torch.tensor([-0.1, -0.2, -0.1]), torch.tensor([0.2, 0.1, 0.1])
    middle = (low + high) / 2
    cameras = around(low, high, 40, (30, 50))
    away = torch.nn.functional.normalize(cameras.centre - middle, dim=1)
    height = torch.rad2deg(torch.asin(away[:, 1]))
    assert LOWEST < float(height.min()) < LOWEST + 5
    assert HIGHEST - 10 < float(height.max()) < HIGHEST
    turn = torch.rad2deg(torch.atan2(away[:, 0], away[:, 2])).sort().values
    assert float((turn[1:] - turn[:-1]).max()) < 25  # 9 degrees apart on average
    corners = torch.cartesian_prod(*torch.stack([low, high]).unbind(1))
    local = corners @ cameras.camera_from_world[:, :3, :3].mT + cameras.camera_from_world[:, None, :3, 3]
    pixel = local @ cameras.intrinsics.mT
    pixel = pixel[..., :2] / pixel[..., 2:]
    assert bool(((pixel >= 0) & (pixel <= torch.tensor([50.0, 30.0]))).all())
    front = around(low, high, 40, (30, 50), full=False)
    turn = torch.rad2deg(torch.atan2(*(front.centre - middle)[:, [0, 2]].unbind(1))).abs()
    assert 80 < float(turn.max()) <= 100.1


def test_training_cameras_are_spread_scaled_and_masked_at_their_own_timestep(avatar: Avatar) -> None:
    (found,) = training_cameras(Filmed(), 8, 40)
    assert (len(found.cameras), found.cameras.height, found.cameras.width) == (3, 30, 40)
    full = Filmed().views.intrinsics[0]
    assert found.cameras.intrinsics[0].numpy() == pytest.approx(full * [[0.5], [0.5], [1.0]], rel=1e-6)
    assert found.mask is not None
    assert float(found.mask.min()) == 1.0
    (found,) = training_cameras(Filmed(), 8, 40, timestep=1)
    assert found.mask is not None
    assert float(found.mask[1, :, :20].max()) == 0.0
    assert float(found.mask[1, :, 20:].min()) == 1.0
    assert float(found.mask[[0, 2]].min()) == 1.0
    assert training_cameras(Filmed(), 0, 40) == []
    pose = canonical_pose(avatar)
    counts = [
        [len(seen.cameras) for seen in cameras_for(avatar, pose, replace(QUICK, cameras=name), Filmed())]
        for name in ("both", "training", "around")
    ]
    assert counts == [[3, 5], [3], [8]]
    with pytest.raises(DataError, match="There are no training cameras"):
        cameras_for(avatar, pose, replace(QUICK, cameras="training"))


BAD: Mapping[str, tuple[dict[str, object], type[Exception], str]] = {
    "depth": ({"depth": "mean"}, UnknownNameError, 'Unknown depth "mean"'),
    "cover": ({"cover": "half"}, UnknownNameError, 'Unknown cover "half"'),
    "cameras": ({"cameras": "none"}, UnknownNameError, 'Unknown cameras "none"'),
    "views": ({"views": 0}, OptionError, '"views" is 0'),
    "size": ({"size": 3}, OptionError, '"size" is 3'),
    "components": ({"components": -1}, OptionError, '"components" is -1'),
    "smooth": ({"smooth": -1}, OptionError, '"smooth" is -1'),
}


@pytest.mark.parametrize("case", BAD)
def test_settings_that_cannot_be(case: str) -> None:
    settings, error, message = BAD[case]
    with pytest.raises(error, match=message):
        MeshSettings(**settings)  # type: ignore[arg-type]


def test_a_timestep_outside_the_motion(avatar: Avatar) -> None:
    with pytest.raises(OptionError, match="Timestep 2 is outside the avatar's motion"):
        pose_at(avatar, 2)

"""Poses by timestep, by name and by label."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

import surfhead
from surfhead.avatars.posing import CameraCheck, on_device
from surfhead.core.errors import OptionError, ShapeError, UnknownNameError


@pytest.fixture(scope="module")
def avatar(trained_run: Path) -> surfhead.Avatar:
    return surfhead.load_avatar(trained_run, device="cpu")


def test_the_neutral_pose_has_every_parameter_and_is_zero(avatar: surfhead.Avatar) -> None:
    pose = avatar.pose()
    assert {name: tuple(rows.shape) for name, rows in pose.items()} == {
        name: (1, parameter.size) for name, parameter in avatar.rig.parameters().items()
    }
    assert not any(bool(rows.any()) for rows in pose.values())
    mesh, rest = avatar.rig(pose), avatar.rig.rest()
    assert torch.allclose(mesh.vertices[0], rest.vertices, atol=1e-6)


def test_a_timestep_is_changed_by_name_only_where_asked(avatar: surfhead.Avatar) -> None:
    own = avatar.poses(torch.tensor([2]))
    pose = avatar.pose(2, jaw=[0.3, 0.0, 0.0])
    assert torch.equal(pose["jaw"], torch.tensor([[0.3, 0.0, 0.0]]))
    for name in own.keys() - {"jaw"}:
        assert torch.equal(pose[name], own[name])


def test_a_label_changes_one_value(avatar: surfhead.Avatar) -> None:
    labels = avatar.rig.parameters()["expression"].labels
    own = avatar.poses(torch.tensor([0, 1]))["expression"]
    pose = avatar.pose(torch.tensor([0, 1]), expression={labels[3]: 0.8})["expression"]
    assert torch.equal(pose[:, 3], torch.full((2,), 0.8))
    kept = torch.arange(len(labels)) != 3
    assert torch.equal(pose[:, kept], own[:, kept])


def test_single_rows_are_repeated_and_the_pose_is_drawn(avatar: surfhead.Avatar) -> None:
    jaw = torch.tensor([[0.0, 0.0, 0.0], [0.4, 0.0, 0.0]])
    pose = avatar.pose(jaw=jaw, neck=(0.1, 0.0, 0.0))
    assert {len(rows) for rows in pose.values()} == {2}
    assert torch.equal(pose["neck"][0], pose["neck"][1])
    camera = surfhead.orbit(avatar, 1, height=32, width=32)
    still, open_ = (avatar.render(camera, {k: v[i] for k, v in pose.items()}).output.rgb for i in (0, 1))
    assert not torch.equal(still, open_)


def test_what_a_rig_lacks_or_a_pose_cannot_be_is_refused_by_name(avatar: surfhead.Avatar) -> None:
    with pytest.raises(UnknownNameError, match='Unknown rig parameter "jav". Did you mean "jaw"'):
        avatar.pose(jav=[0.0, 0.0, 0.0])
    with pytest.raises(UnknownNameError, match='value of rig parameter "expression" "smirk_"'):
        avatar.pose(expression={"smirk_": 1.0})
    with pytest.raises(UnknownNameError, match="by their places"):
        avatar.pose(jaw={"x": 1.0})
    with pytest.raises(ShapeError, match='"jaw" has shape'):
        avatar.pose(jaw=[0.1])
    with pytest.raises(ShapeError, match='"jaw" is no table of numbers'):
        avatar.pose(jaw="open")
    with pytest.raises(ShapeError, match='"expression: smile_left" has shape'):
        avatar.pose(expression={"smile_left": [0.1, 0.2]})  # type: ignore[dict-item]
    with pytest.raises(ShapeError, match='"jaw" holds NaN'):
        avatar.pose(jaw=[float("nan"), 0.0, 0.0])
    with pytest.raises(ShapeError, match="different numbers of poses"):
        avatar.pose(jaw=torch.zeros(2, 3), neck=torch.zeros(3, 3))
    with pytest.raises(OptionError, match="Timestep 99 is outside"):
        avatar.pose(99)


def views(avatar: surfhead.Avatar, count: int) -> surfhead.Cameras:
    return surfhead.orbit(avatar, count, height=8, width=8)


@pytest.mark.parametrize("given", [1.5, [0.5], None, "a", torch.tensor([1.0]), torch.tensor([True, False])])
def test_timesteps_are_whole_numbers(avatar: surfhead.Avatar, given: Any) -> None:
    with pytest.raises(OptionError, match="no whole numbers"):
        avatar.render(views(avatar, 1), given)


@pytest.mark.parametrize("given", [[0, 1], [0, 1, 2], [0, 1, -1], [0.0, 1.0, 1.0], torch.tensor([[0, 1, 1]])])
def test_every_view_shows_a_pose_that_is_there(avatar: surfhead.Avatar, given: Any) -> None:
    with pytest.raises(ShapeError, match="pose_of_view"):
        avatar.render(views(avatar, 3), [0, 1], pose_of_view=given)
    one = avatar.render(views(avatar, 3), [0, 1], pose_of_view=[0, 1, 1]).output.rgb
    two = avatar.render(views(avatar, 3), torch.tensor([0, 1, 1])).output.rgb
    torch.testing.assert_close(one, two)


def test_a_background_is_a_colour(avatar: surfhead.Avatar) -> None:
    for wrong in ([0.0, 0.0], [[0.0, 0.0, 0.0]] * 3, [0.0, 0.0, float("nan")], "blue"):
        with pytest.raises(ShapeError, match="background"):
            avatar.render(views(avatar, 2), 0, background=wrong)  # type: ignore[arg-type]
    camera = views(avatar, 1)
    red = avatar.render(camera, 0, background=(1, 0, 0), opacity_scale=torch.zeros(len(avatar.surfels)))
    assert torch.equal(red.output.rgb[0, 0, 0], torch.tensor([1.0, 0.0, 0.0]))


def test_what_is_no_camera_or_number_is_named(avatar: surfhead.Avatar) -> None:
    with pytest.raises(ShapeError, match="A list is not cameras"):
        avatar.render([views(avatar, 1)], 0)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match='"expression: smile_left" is no table of numbers'):
        avatar.pose(expression={"smile_left": "wide"})  # type: ignore[dict-item]
    pose = avatar.pose(jaw=[0.1, 0.0, 0.0])["jaw"]
    drawn = avatar.render(views(avatar, 1), {"jaw": [0.1, 0.0, 0.0]}).rig_parameters["jaw"]
    assert torch.equal(drawn, pose)
    with pytest.raises(OptionError, match="whole number"):
        surfhead.orbit(avatar, 2, height=8.5, width=8)  # type: ignore[arg-type]


@pytest.mark.parametrize("given", ["a", [None, 0], torch.tensor([True, False])])
def test_poses_of_views_are_whole_numbers(avatar: surfhead.Avatar, given: Any) -> None:
    with pytest.raises(ShapeError, match='"pose_of_view" is .*\\nExpected whole numbers from 0 to 1'):
        avatar.render(views(avatar, 2), [0, 1], pose_of_view=given)


@pytest.mark.parametrize("given", [0.5, [1.0], "a", "nan"])
def test_opacities_have_a_factor_each(avatar: surfhead.Avatar, given: Any) -> None:
    """A list of as many as there are surfels will do."""
    camera, count = views(avatar, 1), len(avatar.surfels)
    given = [float("nan")] * count if given == "nan" else given
    with pytest.raises(ShapeError, match='"opacity_scale" (has shape|is no table|holds NaN)'):
        avatar.render(camera, 0, opacity_scale=given)
    assert float(avatar.render(camera, 0, opacity_scale=[0.0] * count).output.alpha.max()) == 0.0


def test_cameras_are_counted(avatar: surfhead.Avatar) -> None:
    cameras = views(avatar, 3)
    assert [len(camera) for camera in cameras] == [1, 1, 1]  # a loop over them ends
    assert torch.equal(cameras[-1].camera_from_world, cameras[2].camera_from_world)
    for wrong in (3, -4):
        with pytest.raises(IndexError, match="no camera"):
            _ = cameras[wrong]


def test_an_avatar_says_what_it_is(avatar: surfhead.Avatar) -> None:
    assert repr(avatar).startswith("<Avatar procedural jbs ")


def test_the_gradient_of_poses_is_a_plain_sum(
    avatar: surfhead.Avatar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Views of one timestep add up, and nothing is sorted for it, which on a GPU is ten launches."""
    motion = {name: rows.detach().clone().requires_grad_() for name, rows in avatar.motion.items()}
    monkeypatch.setattr(avatar, "motion", motion)
    own = avatar.poses(torch.tensor([2, 0, 2]))
    with torch.autograd.profiler.profile() as found:
        torch.stack([rows.sum() for rows in own.values()]).sum().backward()
    for rows in motion.values():
        expected = torch.zeros_like(rows)
        expected[2], expected[0] = 2.0, 1.0
        assert rows.grad is not None
        assert torch.equal(rows.grad, expected)
    assert "index_put" not in " ".join(row.key for row in found.key_averages())


def test_pixels_are_the_pictures_of_a_rendering(avatar: surfhead.Avatar) -> None:
    """Two views in poses of their own, with a background and hidden surfels."""
    cameras = surfhead.orbit(avatar, 2, height=24, width=32)
    scale = torch.ones(len(avatar.surfels))
    scale[::2] = 0.0
    for options in ({}, {"background": (1, 0, 0.5), "opacity_scale": scale, "pose_of_view": [1, 0]}):
        pose = avatar.pose([0, 1], jaw=[0.2, 0.0, 0.0])
        rgb = avatar.render(cameras, pose, **options).output.rgb  # type: ignore[arg-type]
        found = avatar.pixels(cameras, pose, **options)  # type: ignore[arg-type]
        assert torch.equal(found, (rgb.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8))
        assert found.shape == (2, 24, 32, 3)
        assert len(found.unique()) > 10


def test_a_pose_is_looked_at_every_time(avatar: surfhead.Avatar) -> None:
    camera = surfhead.orbit(avatar, 1, height=8, width=8)
    pose = avatar.pose(0)
    avatar.pixels(camera, pose)
    pose["neck"][0, 1] = float("nan")
    with pytest.raises(ShapeError, match='"neck" holds NaN or infinity, first at index'):
        avatar.pixels(camera, pose)
    with pytest.raises(ShapeError, match='"background" holds NaN'):
        avatar.pixels(camera, 0, background=(0.0, float("inf"), 0.0))
    with pytest.raises(UnknownNameError, match="tail"):
        avatar.pixels(camera, {"tail": [0.0]})


def test_the_same_cameras_are_checked_once_and_others_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same numbers are the same cameras; changed in place, they are others."""
    poses = torch.eye(4).repeat(2, 1, 1)
    given = surfhead.Cameras(poses, torch.diag(torch.tensor([20.0, 20.0, 1.0])).repeat(2, 1, 1), 8, 12)
    seen: list[object] = []
    whole = surfhead.Cameras.validate
    monkeypatch.setattr(surfhead.Cameras, "validate", lambda self: whole((seen.append(self), self)[1]))
    check, like = CameraCheck(), torch.zeros(1)
    first = check(given, like)
    assert check(given, like) is first
    assert check(replace(given, camera_from_world=poses.clone()), like) is first
    assert len(seen) == 1
    poses[0, 0, 3] = 2.0
    assert float(check(given, like).camera_from_world[0, 0, 3]) == 2.0
    assert float(first.camera_from_world[0, 0, 3]) == 0.0
    others = [given[0], replace(given, height=9), replace(given, near=0.5)]
    for other in others:
        found = check(other, like)
        assert (len(found), found.height, found.near) == (len(other), other.height, other.near)
    assert check(given, like.double()).intrinsics.dtype == torch.float64
    assert check(replace(given, camera_from_world=poses.double()), like).intrinsics.dtype == torch.float32
    assert len(seen) == 2 + len(others) + 2
    check(given, like)
    for wrong in (replace(given, height=8.0), replace(given, width=0), "cameras"):  # type: ignore[arg-type]
        with pytest.raises(ShapeError):
            check(wrong, like)
    poses[1, 1, 1] = float("nan")
    for _ in range(2):
        with pytest.raises(ShapeError, match="NaN"):
            check(given, like)


@dataclass(frozen=True)
class Bent(surfhead.Cameras):
    """What a rasterizer of others may know beside a pinhole."""

    bend: float = 0.0


def test_cameras_of_others_keep_what_they_hold_beside() -> None:
    check, like = CameraCheck(), torch.zeros(1)
    poses, lens = torch.eye(4)[None], torch.diag(torch.tensor([20.0, 20.0, 1.0]))[None]
    for bend in (0.1, 0.2):
        found = check(Bent(poses, lens, 8, 12, bend=bend), like)
        assert isinstance(found, Bent)
        assert found.bend == bend
        assert type(check(surfhead.Cameras(poses, lens, 8, 12), like)) is surfhead.Cameras


def test_what_is_on_its_device_already_stays_as_it_is() -> None:
    rows, like = torch.ones(2, 3), torch.zeros(1)
    whole, half = on_device([rows, rows.double()], like)
    assert whole is rows
    assert half.dtype == torch.float32

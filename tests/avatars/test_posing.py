"""Poses by timestep, by name and by label."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import surfhead
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
    with pytest.raises(ShapeError, match='"jaw" holds NaN'):
        avatar.pose(jaw=[float("nan"), 0.0, 0.0])
    with pytest.raises(ShapeError, match="different numbers of poses"):
        avatar.pose(jaw=torch.zeros(2, 3), neck=torch.zeros(3, 3))
    with pytest.raises(OptionError, match="Timestep 99 is outside"):
        avatar.pose(99)

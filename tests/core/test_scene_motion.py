"""Tests of fitting an avatar's motion to a data set's timesteps and to a rig."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from surfhead.avatars.scene_motion import motion_for, motion_on, sized
from surfhead.core.api import DataError, create


def scene(names, count=None):
    rows = torch.arange(100.0, 100 + (count or len(names)))[:, None].expand(-1, 3)
    return SimpleNamespace(
        timesteps=len(rows), timestep_names=names, rig_parameters={"jaw": rows}, rig="procedural"
    )


def test_rows_are_found_by_the_timesteps_numbers():
    motion = {"jaw": torch.arange(5.0)[:, None].expand(-1, 3), "neck": torch.arange(5.0, 10)[:, None]}
    found = motion_on(motion, scene(("00001", "00003", "00009")))
    assert found["jaw"][:, 0].tolist() == [1, 3, 102]  # the avatar never saw timestep 9
    assert found["neck"][:, 0].tolist() == [6, 8, 0]
    same = motion_on(motion, scene(("00010", "00011", "00012", "00013", "00014")))
    assert torch.equal(same["jaw"], motion["jaw"])
    with pytest.raises(DataError, match="5 timesteps"):
        motion_on(motion, scene(("A/00000", "B/00000")))
    with pytest.raises(DataError, match="5 timesteps"):
        motion_on(motion, scene((), 2))


def test_rows_are_cut_or_padded_to_the_rig():
    rig = create("rig", "procedural")
    size = rig.parameters()["expression"].size
    given = {"expression": torch.ones(2, size + 3), "other": torch.ones(2, 1)}
    found = sized(given, rig)
    assert torch.equal(found["expression"], torch.ones(2, size))
    assert found["other"] is given["other"]
    found = sized({"expression": torch.ones(2, size - 1)}, rig)
    assert torch.equal(found["expression"], torch.ones(2, size).index_fill(1, torch.tensor([size - 1]), 0))


def test_an_avatar_is_posed_by_the_data_or_by_itself():
    avatar = SimpleNamespace(
        motion={"jaw": torch.ones(2, 3)},
        rig=create("rig", "procedural"),
        deformer=SimpleNamespace(rig_bound=True),
        device=torch.device("cpu"),
    )
    data = scene(("00000", "00001"))
    assert motion_for(avatar, data)["jaw"][:, 0].tolist() == [100, 101]
    assert motion_for(avatar, data, own=True)["jaw"][:, 0].tolist() == [1, 1]
    data.rig = "flame"
    with pytest.raises(DataError, match='rig "flame"'):
        motion_for(avatar, data, own=True)

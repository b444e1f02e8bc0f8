"""Key frames made of shots, and shots made of key frames."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch

from surfhead.core.errors import DataError, SurfheadError
from surfhead.drawing.key_frames import KeyFrames
from surfhead.viewing.key_path import PathPlay, key_frame, read_key_frames, shorter_fov, shot_at
from surfhead.viewing.puppet import Puppet
from surfhead.viewing.shot import Shot
from surfhead.viewing.viewpoint import Viewpoint
from tests.runs.tiny_run import tiny_avatar

FRONT = Shot(Viewpoint.looking((0.0, 0.0, 1.0), (0.0, 0.0, 0.0), (0.0, 1.0, 0.0), 0.5))
SIDE = Shot(Viewpoint.looking((1.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 1.0, 0.0), 0.3))


def posed(value: float) -> dict[str, torch.Tensor]:
    return {"translation": torch.tensor([[value, 0.0, 0.0]])}


@pytest.fixture
def puppet() -> Puppet:
    return Puppet(tiny_avatar())


@pytest.mark.parametrize("aspect", [1.6, 1.0, 0.5])
def test_shots_survive_the_way_there_and_back(puppet: Puppet, aspect: float) -> None:
    frames = (key_frame(FRONT, posed(0.0), 0.0, aspect), key_frame(SIDE, posed(0.1), 2.0, aspect))
    content = json.dumps(KeyFrames(frames).as_table()).encode()
    path = read_key_frames("mine.json", content, puppet)
    for time, shot, value in ((0.0, FRONT, 0.0), (2.0, SIDE, 0.1)):
        again = shot_at(path, time, replace(FRONT, camera=3), puppet, aspect)
        assert again.viewpoint.near(shot.viewpoint)
        assert again.viewpoint.fov == pytest.approx(
            shot.viewpoint.fov, rel=2e-3
        )  # the aspect is of whole pixels
        assert again.camera is None
        assert puppet.pose(again.stance)["translation"][0, 0].item() == pytest.approx(value)


def test_the_shorter_sides_field_of_view() -> None:
    assert shorter_fov(math.radians(40), 1.5) == pytest.approx(40)
    half = math.tan(math.radians(20)) / 2
    assert shorter_fov(math.radians(40), 0.5) == pytest.approx(math.degrees(2 * math.atan(half)))


def test_a_path_plays_from_frame_to_frame_and_begins_again(puppet: Puppet) -> None:
    frames = (key_frame(FRONT, posed(0.0), 1.0, 1.0), key_frame(SIDE, posed(0.1), 3.0, 1.0))
    play = PathPlay(10.0, 25.0, KeyFrames(frames), puppet)
    values = [
        puppet.pose(play.at(10.0 + seconds, FRONT).stance)["translation"][0, 0].item()
        for seconds in (0.0, 0.52, 1.0, 1.48, 2.0, 3.0)
    ]
    assert values[0] == pytest.approx(0.0)
    assert values[2] == pytest.approx(0.05, abs=1e-6)  # halfway, by symmetry
    assert values[0] < values[1] < values[2] < values[3] < 0.1
    assert values[4:] == pytest.approx([values[0], values[2]])
    half = play.at(11.0, FRONT).viewpoint
    assert half.position == pytest.approx((0.5, 0.0, 0.5), abs=1e-5)


def test_without_poses_the_head_keeps_its_own(puppet: Puppet) -> None:
    frames = (key_frame(FRONT, {}, 0.0, 1.0), key_frame(SIDE, {}, 1.0, 1.0))
    shown = shot_at(KeyFrames(frames), 0.5, FRONT, puppet, 1.0)
    assert shown.stance == FRONT.stance


def test_timesteps_are_those_of_the_own_motion(puppet: Puppet) -> None:
    puppet.avatar.motion["translation"] = torch.arange(9.0).reshape(3, 3)
    frame = KeyFrames((key_frame(FRONT, posed(0.0), 0.0, 1.0),)).as_table()["frames"][0]
    del frame["pose"]
    content = json.dumps({"frames": [{**frame, "timestep": 2}]}).encode()
    shown = shot_at(read_key_frames("steps", content, puppet), 0.0, FRONT, puppet, 1.0)
    assert puppet.pose(shown.stance)["translation"].tolist() == [[6.0, 7.0, 8.0]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "cannot be read"),
        (b'{"frames": []}', "frames"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"[" * 100000, "cannot be read"),
    ],
)
def test_bad_files_are_refused_with_words(puppet: Puppet, content: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_key_frames("bad.json", content, puppet)


def test_poses_of_another_rig_are_refused(puppet: Puppet) -> None:
    frame = key_frame(FRONT, {"tail": torch.zeros(1, 3)}, 0.0, 1.0)
    content = json.dumps(KeyFrames((frame,)).as_table()).encode()
    with pytest.raises(SurfheadError, match='"tail"'):
        read_key_frames("other.json", content, puppet)

"""Key frames: files, what is wrong with them, and the curves between the frames."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from surfhead.core.errors import DataError, SurfheadError
from surfhead.core.rig_parameter import RigParameter
from surfhead.drawing.key_frames import KeyFrames

KNOWN = {
    "jaw": RigParameter(3, axis_angle=True),
    "eyes": RigParameter(6, axis_angle=True),
    "expression": RigParameter(2),
}
EYE = [[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 0], [0, 0, 0, 1.0]]


def matrix(turn: tuple[float, float, float], centre: tuple[float, float, float]) -> list[list[float]]:
    """camera_from_world of a camera turned by a rotation vector, standing at ``centre``."""
    rotation = Rotation.from_rotvec(turn).as_matrix()
    made = np.eye(4)
    made[:3, :3] = rotation
    made[:3, 3] = -rotation @ np.array(centre)
    rows: list[list[float]] = made.tolist()
    return rows


def frame(time: float, pose: Any = None, *, fov: float = 25.0, camera: Any = EYE, **more: Any) -> Any:
    row = {"time": time, "camera": {"camera_from_world": camera, "fov": fov}, **more}
    return row if pose is None else {**row, "pose": pose}


def made(*frames: Any, fps: float = 25.0) -> KeyFrames:
    return KeyFrames.from_table({"fps": fps, "frames": list(frames)})


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    keys = made(
        frame(0.5, {"jaw": [0.1, 0, 0]}, camera=matrix((0, 0.3, 0), (0.1, 0, 1))),
        frame(2.0, timestep=4),
        fps=30.0,
    )
    path = tmp_path / "paths" / "turn.json"
    keys.write(path)
    again = KeyFrames.read(path)
    assert (again.frames, again.fps, again.name) == (keys.frames, 30.0, str(path))
    content = json.loads(path.read_text())
    assert set(content["frames"][0]) == {"time", "camera", "pose"}
    assert content["frames"][1] == {
        "time": 2.0,
        "camera": {"camera_from_world": EYE, "fov": 25.0},
        "timestep": 4,
    }
    assert KeyFrames.from_table(content) == made(*content["frames"], fps=30.0)


def test_the_frames_themselves_are_met() -> None:
    cameras = [matrix((0.1, 0.2 * i, 0), (0.3 * i, 0.1, 1 + i * i)) for i in range(4)]
    poses = [
        {"jaw": [0.2 * i, 0, 0], "expression": [i, -i], "eyes": [0, 0.1 * i, 0, 0, 0, -0.1]} for i in range(4)
    ]
    keys = made(
        *(
            frame(i * i, pose, camera=camera, fov=20 + i)
            for i, (pose, camera) in enumerate(zip(poses, cameras, strict=True))
        )
    )
    times = [0, 1, 4, 9]
    found = keys.cameras(times, height=80, width=40)
    torch.testing.assert_close(found.camera_from_world, torch.tensor(cameras), atol=1e-6, rtol=0)
    focal = [20 / math.tan(math.radians(20 + i) / 2) for i in range(4)]  # half the shorter side
    torch.testing.assert_close(found.intrinsics[:, 0, 0], torch.tensor(focal))
    assert found.intrinsics[0, :2, 2].tolist() == [20.0, 40.0]
    values = keys.poses(times, KNOWN, {})
    assert list(values) == ["jaw", "eyes", "expression"]
    for name, rows in values.items():
        torch.testing.assert_close(rows, torch.tensor([p[name] for p in poses]).float(), atol=1e-6, rtol=0)
    # nothing moves before the first frame and after the last
    outside = keys.cameras([-3, 100], height=80, width=40).camera_from_world
    torch.testing.assert_close(outside, torch.tensor([cameras[0], cameras[3]]), atol=1e-6, rtol=0)


def test_rotations_turn_evenly_and_values_stay_between_the_frames() -> None:
    keys = made(
        frame(0, {"jaw": [0, 0, 3.0], "expression": [0, 1]}, camera=matrix((0, 0, 0), (0, 0, 0))),
        frame(1, {"jaw": [0, 0, -3.0], "expression": [2, 1]}, camera=matrix((0, 1.2, 0), (0, 0, 4))),
        frame(3, {"jaw": [0, 0, -3.0], "expression": [2, 5]}, camera=matrix((0, 1.2, 0), (0, 2, 4))),
    )
    times = np.linspace(0, 3, 61)
    cameras = keys.cameras(times, height=10, width=10)
    turned = Rotation.from_matrix(cameras.camera_from_world[:, :3, :3].double().numpy()).as_rotvec()
    np.testing.assert_allclose(turned[:21, 1], 1.2 * times[:21], atol=1e-6)
    np.testing.assert_allclose(turned[21:, 1], 1.2, atol=1e-6)
    centre = cameras.centre
    assert float(centre[:, 2].min()) >= -1e-6
    assert float(centre[:, 2].max()) <= 4 + 1e-6  # a plain spline would swing beyond
    assert bool((centre[1:, 2] - centre[:-1, 2] > -1e-6).all())
    steps = (centre[1:] - centre[:-1]).norm(dim=-1)
    assert float((steps[1:] - steps[:-1]).abs().max()) < 0.06  # no jump of speed at the frame in between
    values = keys.poses(times, KNOWN, {})
    # from 3 rad to -3 rad the short way leads over pi
    halfway = values["jaw"][10]
    assert abs(abs(float(halfway[2])) - math.pi) < 1e-4
    expected = Rotation.from_rotvec([0, 0, 3.0 + 0.3 * (2 * math.pi - 6.0)]).as_matrix()
    np.testing.assert_allclose(
        Rotation.from_rotvec(values["jaw"][6].double().numpy()).as_matrix(), expected, atol=1e-6
    )
    assert float(values["expression"].min()) >= 0.0
    assert float(values["expression"].max()) <= 5.0


def test_the_motion_plays_between_timesteps() -> None:
    motion = {
        "expression": torch.arange(10.0)[:, None] * torch.tensor([[1.0, -2.0]]),
        "jaw": torch.tensor([[0.1, 0.0, 0.0]]) * torch.arange(10.0)[:, None],
    }
    keys = made(frame(0, timestep=2), frame(1, timestep=8), frame(2, timestep=8))
    found = keys.poses([0, 0.5, 0.75, 1.5], KNOWN, motion)
    torch.testing.assert_close(found["expression"][:, 0], torch.tensor([2.0, 5.0, 6.5, 8.0]))
    torch.testing.assert_close(found["jaw"][:, 0], torch.tensor([0.2, 0.5, 0.65, 0.8]))
    # a pose among them: from the timestep's pose to this one, not through the motion
    mixed = made(frame(0, timestep=9), frame(1, {"jaw": [0.5, 0, 0]}))
    found = mixed.poses([0, 0.5, 1], KNOWN, motion)
    torch.testing.assert_close(found["jaw"][:, 0], torch.tensor([0.9, 0.7, 0.5]))
    torch.testing.assert_close(found["expression"][:, 1], torch.tensor([-18.0, -9.0, 0.0]))


def test_one_frame_stands_still_and_times_follow_the_rate() -> None:
    keys = made(frame(1.0, {"jaw": [0.1, 0, 0]}))
    assert keys.times().tolist() == [1.0]
    assert keys.cameras([0, 1, 2], height=4, width=4).camera_from_world.shape == (3, 4, 4)
    still = keys.poses([0, 5], KNOWN, {})["jaw"]
    torch.testing.assert_close(still, torch.tensor([[0.1, 0, 0]] * 2))
    bare = made(frame(2.0), frame(4.0), fps=10.0)
    assert not bare.posed
    assert bare.poses([2.0], KNOWN, {"jaw": torch.zeros(3, 3)}) == {}
    assert bare.duration == 2.0
    np.testing.assert_allclose(bare.times(), 2.0 + 0.1 * np.arange(21))
    assert bare.times(3).tolist() == [2.0, 3.0, 4.0]


BROKEN: dict[str, tuple[tuple[Any, ...], Any, str]] = {
    "no frames": (("frames",), [], '"frames" of "key frames" is wrong: Tuple should have at least 1 item'),
    "fps": (("fps",), 0, '"fps" of "key frames" is wrong: Input should be greater than 0.'),
    "time": (
        ("frames", 1, "time"),
        "late",
        '"frames.1.time" of "key frames" is wrong: Input should be a valid',
    ),
    "infinite": (("frames", 1, "time"), math.inf, "finite number"),
    "fov": (("frames", 0, "camera", "fov"), 180, '"frames.0.camera.fov" of "key frames" is wrong'),
    "rows": (
        ("frames", 0, "camera", "camera_from_world"),
        EYE[:3],
        '"frames.0.camera.camera_from_world.3" of',
    ),
    "unknown": (("frames", 0, "camra"), 1, '"frames.0.camra" of "key frames" is wrong: Extra inputs'),
    "timestep": (("frames", 0, "timestep"), -1, '"frames.0.timestep" of'),
    "order": (("frames", 1, "time"), 0.0, 'Key frame 1 of "key frames" is at 0 s, not after the one before.'),
    "scaled": (
        ("frames", 0, "camera", "camera_from_world"),
        (2 * np.eye(4)).tolist(),
        'Key frame 0 of "key frames" has a camera that is not rigid.',
    ),
    "mirrored": (
        ("frames", 1, "camera", "camera_from_world"),
        np.diag([-1.0, 1, 1, 1]).tolist(),
        'Key frame 1 of "key frames" has a camera that is not rigid.',
    ),
    "both": (("frames", 0, "timestep"), 1, 'Key frame 0 of "key frames" has a pose and a timestep.'),
    "some": (("frames", 1, "pose"), None, 'Key frame 1 of "key frames" has no pose or timestep, unlike the'),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_is_named(case: str) -> None:
    place, value, message = BROKEN[case]
    content: Any = {"fps": 25, "frames": [frame(0, {"jaw": [0, 0, 0]}), frame(1, {"jaw": [1, 0, 0]})]}
    KeyFrames.from_table(copy.deepcopy(content))
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(DataError) as caught:
        KeyFrames.from_table(content)
    assert message in caught.value.what
    assert len(str(caught.value).splitlines()) == 3


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'Key frames ".*none\.json" do not exist'):
        KeyFrames.read(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(DataError, match=r'Key frames ".*bad\.json" cannot be read'):
        KeyFrames.read(tmp_path / "bad.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(DataError, match=r'"the file" of ".*list\.json" is wrong'):
        KeyFrames.read(tmp_path / "list.json")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (frame(0, {"jwa": [0, 0, 0]}), 'Unknown rig parameter of key frame 0 of "key frames" "jwa". Did you'),
        (frame(0, {"jaw": [0, 0]}), 'Key frame 0 of "key frames" has 2 values of "jaw".'),
        (frame(0, timestep=3), 'Key frame 0 of "key frames" is of timestep 3.'),
    ],
)
def test_an_avatar_that_cannot_show_them_is_told(given: Any, message: str) -> None:
    made(frame(0, {"jaw": [0, 0, 0]})).validate(KNOWN, 3)
    made(frame(0, timestep=2)).validate(KNOWN, 3)
    with pytest.raises(SurfheadError) as caught:
        made(given).validate(KNOWN, 3)
    assert message in caught.value.what

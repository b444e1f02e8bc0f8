"""What one camera saw of a head, and a camera that swings no further."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from surfhead.avatars.avatar import Avatar
from surfhead.core.api import Cameras, Mesh, RigParameter, Views
from surfhead.drawing.camera_path import look_at
from surfhead.drawing.sight import Sight, _least, head_turns, seen_cameras, sight_from, sight_of, swing
from surfhead.results.shots import along_path
from tests.runs.tiny_run import Octahedron, tiny_avatar

BESIDE = 10.0  # degrees to the head's left at which the camera stands
PLACE = torch.tensor([0.05, 0.3, -0.1])  # of the head


class Turning(Octahedron):
    """An octahedron that turns to its left and nods, degrees, beside its place at rest."""

    def parameters(self) -> dict[str, RigParameter]:
        return {"turn": RigParameter(2, 1e-6, "degrees")}

    def __call__(self, parameters: dict[str, torch.Tensor]) -> Mesh:  # type: ignore[override]
        turns = Rotation.from_euler("YX", parameters["turn"].numpy(), degrees=True).as_matrix()
        posed = torch.einsum("pij,vj->pvi", torch.from_numpy(turns).float(), self._rest.vertices)
        return Mesh(posed + PLACE, self._rest)


def turning(yaw: np.ndarray, nod: np.ndarray | float = 0.0) -> Avatar:
    avatar = tiny_avatar(timesteps=len(yaw))
    avatar.rig = Turning()
    avatar.rig.prepare({})
    rows = np.stack([yaw, np.broadcast_to(nod, yaw.shape)], axis=1)
    avatar.motion = {"turn": torch.from_numpy(rows).float()}
    return avatar


def views(count: int, cameras: int = 1) -> Views:
    """Views of a camera that stands still beside the head's front, a view a timestep."""
    angle = np.radians(BESIDE)
    eye = PLACE.double() + torch.tensor([[np.sin(angle), 0.0, np.cos(angle)]])
    pose = look_at(eye, PLACE.double(), torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64))
    return Views(
        pose.numpy().repeat(count, axis=0),
        np.tile(np.diag([50.0, 50.0, 1.0]), (count, 1, 1)),
        np.arange(count),
        np.arange(count) % cameras,
        np.full(count, "train"),
        tuple(map(str, range(count))),
        8,
        8,
    )


def angles_of(cameras: Cameras, avatar: Avatar, timesteps: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Degrees to the head's left, and above, at which cameras look at a posed head: by what they see."""
    away = -cameras.camera_from_world[:, 2, :3].double().numpy()  # towards the camera
    head = Rotation.from_euler("YX", avatar.motion["turn"][timesteps].numpy(), degrees=True)
    own = head.inv().apply(away)
    return np.degrees(np.arctan2(own[:, 0], own[:, 2])), np.degrees(np.arcsin(own[:, 1]))


def test_directions_are_counted_in_the_heads_own_axes() -> None:
    yaw, nod = np.linspace(-20, 20, 101), 5.0 * np.ones(101)
    avatar = turning(yaw, nod)
    found = sight_of(avatar, views(101), np.arange(101))
    assert found is not None
    assert found.side == pytest.approx((BESIDE - 0.96 * 20, BESIDE + 0.96 * 20), abs=0.4)
    # a head that looks down by 5 degrees (about +x, that is) is seen from above
    assert found.height[0] == pytest.approx(found.height[1], abs=1)
    assert found.height[0] == pytest.approx(5 * np.cos(np.radians(15)), abs=1.2)
    assert found.towards == pytest.approx((BESIDE, 0), abs=0.01)
    few = sight_of(avatar, views(101), np.arange(40, 61))
    assert few is not None
    assert few.side == pytest.approx((BESIDE - 0.96 * 4, BESIDE + 0.96 * 4), abs=0.4)


def test_what_several_cameras_saw_or_one_all_round_is_no_bound() -> None:
    avatar = turning(np.linspace(-20, 20, 10))
    assert sight_of(avatar, views(10, cameras=2), np.arange(10)) is None
    assert sight_of(avatar, views(10, cameras=2), np.arange(0, 10, 2)) is not None  # trained on one of them
    assert sight_of(avatar, views(10), np.arange(0)) is None
    assert sight_of(turning(np.linspace(-175, 175, 80)), views(80), np.arange(80)) is None
    lost = turning(np.linspace(-20, 20, 10))
    lost.motion["turn"][3] = float("nan")
    assert sight_of(lost, views(10), np.arange(10)) is None
    free = tiny_avatar("static")
    assert sight_of(free, views(3), np.arange(3)) is None


def test_the_head_is_found_where_it_is_and_as_it_is_turned() -> None:
    avatar = turning(np.array([0.0, 30.0, -50.0]), np.array([0.0, 10.0, 0.0]))
    turns, centres = head_turns(avatar, torch.tensor([2, 1]))
    wanted = Rotation.from_euler("YX", [[-50, 0], [30, 10]], degrees=True).as_matrix()
    np.testing.assert_allclose(turns, wanted, atol=1e-5)
    assert np.linalg.det(turns) == pytest.approx([1, 1])
    assert np.abs(centres - PLACE.numpy()).max() < 0.1


@pytest.mark.parametrize("held", [None, 7])
def test_the_camera_swings_within_what_was_seen(held: int | None) -> None:
    time = np.arange(400)
    yaw = 25 * np.sin(time / 18) * (time < 200)  # then the head is still
    yaw[360:] = 60  # a motion that was held out goes beyond
    nod = 4 * np.sin(time / 7)
    avatar = turning(yaw, nod)
    sight = sight_of(avatar, views(400), np.arange(360))
    assert sight is not None
    shots = along_path(avatar, "orbit", height=16, width=16, frames=400, timestep=held, sight=sight)
    assert isinstance(shots.poses, torch.Tensor)
    side, height = angles_of(shots.cameras, avatar, shots.poses)
    assert side.min() >= sight.side[0] - 1.5
    assert side.max() <= sight.side[1] + 1.5
    assert height.min() >= sight.height[0] - 1.5
    assert height.max() <= sight.height[1] + 1.5
    # and swings as far as that allows
    assert np.ptp(side) > 0.8 * (sight.side[1] - sight.side[0])
    bearing = swing(avatar, sight, shots.poses)[0].numpy()
    assert np.abs(np.diff(bearing[:360])).max() < 3  # degrees a picture
    without = along_path(avatar, "orbit", height=16, width=16, frames=400, timestep=held)
    far, _ = angles_of(without.cameras, avatar, shots.poses)
    assert max(far.max() - sight.side[1], sight.side[0] - far.min()) > 5  # which an orbit does not ask


def test_the_picture_is_where_the_posed_head_is_not_where_it_rests() -> None:
    avatar = turning(np.zeros(30))
    sight = Sight((-20.0, 20.0), (-5.0, 5.0), (0.0, 0.0))
    cameras = seen_cameras(avatar, sight, torch.arange(30), height=40, width=40)
    for row in cameras.camera_from_world:
        middle = row[:3, :3] @ PLACE + row[:3, 3]
        assert float(middle[:2].norm()) < 0.02
        assert float(middle[2]) > 0.2


def test_a_record_is_read_as_it_was_written_and_nothing_else_is() -> None:
    sight = Sight((-33.25, 30.5), (-7.0, 0.5), (1.5, -3.5))
    assert sight_from(sight.record()) == sight
    for damaged in (
        None,
        [],
        "far",
        [[1, 2], [3, 4]],
        [[1, 2], [3, 4], [5, "x"]],
        [[2, 1], [3, 4], [5, 6]],
        [[1, float("nan")], [3, 4], [5, 6]],
        [[1, 2], [3], [5, 6]],
        {"side": [1, 2]},
    ):
        assert sight_from(damaged) is None


def test_smoothed_room_is_never_more_than_there_is() -> None:
    room = np.random.default_rng(0).uniform(0, 30, 200)
    assert len(_least(room)) == 200
    assert (_least(room) <= room + 1e-12).all()
    np.testing.assert_allclose(_least(np.full(5, 7.0)), 7.0)

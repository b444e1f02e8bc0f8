"""Series of pictures: paths, key frames, splits, sizes, and geometry as arrays."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from surfhead.core.errors import OptionError, SurfheadError
from surfhead.core.scene import Frame, Scene, Views
from surfhead.drawing.camera_path import orbit, spiral
from surfhead.drawing.channels import paint
from surfhead.drawing.pictures import to_bytes
from surfhead.results.shots import along_path, drawn, geometry_of, in_bytes, of_views, resized
from surfhead.testing import tiny
from tests.runs.tiny_run import tiny_avatar


class Stripes(Scene):
    """Three views of 12 by 8 pixels; view i is i grey levels brighter to the right."""

    def __init__(self) -> None:
        cameras = tiny.cameras(3, 8, 12)
        views = Views(
            cameras.camera_from_world.double().numpy(),
            cameras.intrinsics.double().numpy(),
            np.array([0, 2, 1]),
            np.arange(3),
            np.array(["train", "val", "val"]),
            ("a", "b", "c"),
            8,
            12,
        )
        super().__init__(
            views, rig="octahedron", rig_parameters={"translation": torch.zeros(3, 3)}, background=(0, 0.2, 1)
        )

    def frame(self, view: int) -> Frame:
        row = 20 * view + 10 * np.arange(12, dtype=np.uint8)
        return Frame(np.broadcast_to(row[None, :, None], (8, 12, 3)).astype(np.uint8))


def key_file(tmp_path: Path, *frames: dict[str, object]) -> str:
    camera = {"camera_from_world": tiny.cameras(1).camera_from_world[0].tolist(), "fov": 30}
    document = {"fps": 4, "frames": [{"camera": camera, **frame} for frame in frames]}
    (tmp_path / "keys.json").write_text(json.dumps(document))
    return str(tmp_path / "keys.json")


def test_paths_play_the_motion_or_hold_a_pose() -> None:
    avatar = tiny_avatar(timesteps=3)
    shots = along_path(avatar, "orbit", height=10, width=14, turn=360.0)
    assert isinstance(shots.poses, torch.Tensor)
    assert shots.poses.tolist() == [0, 1, 2]
    expected = orbit(avatar, 3, height=10, width=14, turn=360.0)
    assert torch.equal(shots.cameras.camera_from_world, expected.camera_from_world)
    shots = along_path(avatar, "spiral", height=10, width=14, frames=5, timestep=2, elevation=20.0)
    assert isinstance(shots.poses, torch.Tensor)
    assert shots.poses.tolist() == [2] * 5
    expected = spiral(avatar, 5, height=10, width=14, elevation=20.0)
    assert torch.equal(shots.cameras.camera_from_world, expected.camera_from_world)


def test_key_frames_say_how_the_head_is_posed_or_let_the_motion_play(tmp_path: Path) -> None:
    avatar = tiny_avatar(timesteps=3)
    posed = key_file(tmp_path, {"time": 0, "pose": {}}, {"time": 1, "pose": {"translation": [0.0, 0.1, 0.0]}})
    shots = along_path(avatar, posed, height=10, width=14)
    assert (len(shots), shots.rate, shots.cameras.height) == (5, 4.0, 10)
    pose = shots.pose(4)
    assert isinstance(pose, dict)
    torch.testing.assert_close(pose["translation"], torch.tensor([[0.0, 0.1, 0.0]]))
    assert float(shots.pose(0)["translation"].abs().max()) == 0.0  # type: ignore[index]
    still = along_path(avatar, key_file(tmp_path, {"time": 0, "pose": {}}), height=10, width=14)
    assert next(drawn(avatar, still, ["rgb"]))[1]["rgb"].shape == (10, 14, 3)
    bare = key_file(tmp_path, {"time": 0}, {"time": 1})
    assert along_path(avatar, bare, height=4, width=4, frames=4).poses.tolist() == [0, 1, 2, 0]  # type: ignore[union-attr]
    assert along_path(avatar, bare, height=4, width=4, timestep=1).poses.tolist() == [1] * 5  # type: ignore[union-attr]


def test_views_keep_what_they_see_at_any_size() -> None:
    scene, avatar = Stripes(), tiny_avatar()
    with torch.no_grad():
        avatar.surfels.parameters["opacity"].fill_(6.0)
    native = of_views(scene, np.array([1, 2]))
    assert native.poses.tolist() == [2, 1]  # type: ignore[union-attr]
    assert native.truth is not None
    torch.testing.assert_close(native.truth(1)[:, :, 0], ((40 + 10 * torch.arange(12)) / 255.0).expand(8, 12))
    double = of_views(scene, np.array([1, 2]), width=24)
    assert (double.cameras.height, double.cameras.width) == (16, 24)
    assert double.truth is not None
    assert double.truth(0).shape == (16, 24, 3)
    torch.testing.assert_close(double.truth(0).mean(), native.truth(0).mean(), atol=0.01, rtol=0)
    for shots in (native, double):
        assert shots.background is not None
        assert shots.background.tolist() == pytest.approx([0.0, 0.2, 1.0])
    small = next(picture["alpha"] for _, picture in drawn(avatar, native, ["alpha"]))
    large = next(picture["alpha"] for _, picture in drawn(avatar, double, ["alpha"]))
    shrunk = large.reshape(8, 2, 12, 2, 3).mean(dim=(1, 3))
    assert float(small.max()) > 0.9
    assert float((shrunk - small).abs().mean()) < 0.03
    error = [picture["error"] for _, picture in drawn(avatar, native, ["error"])]
    cameras = native.cameras[1]
    truth = native.truth(1)
    expected = paint(avatar, cameras, 1, ["error"], background=native.background, truth=truth)
    assert torch.equal(error[1], expected["error"])


def test_shots_in_bytes_are_those_drawn() -> None:
    avatar = tiny_avatar(timesteps=3)
    shots = along_path(avatar, "orbit", height=10, width=14)
    names = ["rgb", "alpha"]
    found = list(in_bytes(avatar, shots, names))
    assert len(found) == len(shots) == 3
    for (rendering, pixels), (expected, shown) in zip(found, drawn(avatar, shots, names), strict=True):
        assert torch.equal(rendering.output.alpha, expected.output.alpha)
        for name in names:
            np.testing.assert_array_equal(pixels[name], to_bytes(shown[name]))


def test_sizes_follow_from_one_side() -> None:
    cameras = tiny.cameras(2, 20, 30)
    assert resized(cameras) is cameras
    for found, size in (
        (resized(cameras, height=40), (40, 60)),
        (resized(cameras, width=15), (10, 15)),
        (resized(cameras, side=50), (50, 75)),
        (resized(cameras, height=41, width=61), (41, 61)),
    ):
        assert (found.height, found.width) == size
        ratio = found.intrinsics[0] / cameras.intrinsics[0]
        assert float(ratio[0, 2]) == pytest.approx(size[1] / 30)
        assert float(ratio[1, 1]) == pytest.approx(size[0] / 20)
    with pytest.raises(OptionError, match='"width" 30 and "height" 30 have another shape'):
        resized(cameras, height=30, width=30)
    with pytest.raises(OptionError, match='"size" is 0'):
        resized(cameras, side=0)


def test_depths_of_all_shots_share_a_range() -> None:
    avatar = tiny_avatar()
    with torch.no_grad():
        avatar.surfels.parameters["opacity"].fill_(6.0)
    shots = along_path(avatar, "orbit", height=24, width=24, frames=2, turn=0.0, timestep=0)
    nearer = shots.cameras.camera_from_world.clone()
    nearer[1, 2, 3] -= 0.02
    shots = along_path(avatar, "orbit", height=24, width=24, frames=2, turn=0.0, timestep=0)
    shots.cameras.camera_from_world.copy_(nearer)
    (first, one), (_, two) = drawn(avatar, shots, ["depth"])
    middle = (12, 12)
    assert float(first.output.alpha[0][middle]) > 0.9
    assert float(two["depth"][middle][0]) > float(one["depth"][middle][0]) + 0.05


def test_geometry_is_given_as_arrays() -> None:
    avatar, camera = tiny_avatar(), tiny.cameras(1, 24, 24)
    with torch.no_grad():
        avatar.surfels.parameters["log_scale"].fill_(-2.0)
        avatar.surfels.parameters["opacity"].fill_(6.0)
    rendering = avatar.render(camera, 0)
    found = geometry_of(rendering, camera)
    assert {value.dtype for value in found.values()} == {np.dtype(np.float32)}
    inside = found["alpha"] > 0
    assert 20 < inside.sum() < 24 * 24
    np.testing.assert_allclose(np.linalg.norm(found["normal"], axis=-1)[inside], 1.0, atol=1e-5)
    assert np.abs(found["normal"][~inside]).max() == 0.0
    np.testing.assert_array_equal(found["depth"], rendering.output.depth[0].numpy())
    np.testing.assert_array_equal(found["median_depth"], rendering.output.median_depth[0].numpy())
    np.testing.assert_array_equal(found["camera_from_world"], camera.camera_from_world[0].numpy())


@pytest.mark.parametrize(
    ("path", "settings", "message"),
    [
        ("orbti", {}, 'Unknown path "orbti". Did you mean "orbit"?'),
        ("none.json", {}, 'Key frames "none.json" do not exist.'),
        ("keys", {"turn": 90.0}, '"turn" is 90.0, but key frames say themselves what they show.'),
        ("keys", {"field_of_view": 20.0}, '"fov" is 20.0, but key frames'),
        ("keys", {"timestep": 1}, '"timestep" is 1, but key frames'),
        ("late", {}, "is of timestep 3."),
        ("orbit", {"frames": 0}, '"frames" is 0.'),
    ],
)
def test_what_does_not_fit_is_named(
    path: str, settings: dict[str, object], message: str, tmp_path: Path
) -> None:
    frames = {"keys": {"time": 0, "pose": {}}, "late": {"time": 0, "timestep": 3}}
    if path in frames:
        path = key_file(tmp_path, frames[path])
    with pytest.raises(SurfheadError) as caught:
        along_path(tiny_avatar(timesteps=3), path, **settings)  # type: ignore[arg-type]
    assert message in caught.value.what

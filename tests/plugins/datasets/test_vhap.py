"""Tests of VHAP's layout with fixtures that hold every quirk met in the wild."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from surfhead.core.api import DataError
from surfhead.plugins.datasets.vhap.vhap import Vhap
from tests.plugins.datasets.vhap_layout import (
    CX,
    CY,
    FX,
    FY,
    HEIGHT,
    WIDTH,
    Layout,
    open_set,
    pixels,
    pose,
    tracking,
)


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "sequence")


def test_it_is_recognised_by_the_canonical_parameters_alone(layout, tmp_path):
    assert Vhap.recognises(layout.root)
    assert not Vhap.recognises(tmp_path)


def test_cameras_project_as_the_opengl_convention_says(layout):
    layout.add(0, 3)
    views = open_set(layout.write()).views
    world = np.random.default_rng(5).normal(size=(20, 3)) * 3
    # by the definition of the format: x right, y up, looking along -z
    camera = (np.linalg.inv(pose(3)) @ np.c_[world, np.ones(20)].T)[:3].T
    expected = np.stack([CX + FX * camera[:, 0] / -camera[:, 2], CY - FY * camera[:, 1] / -camera[:, 2]], 1)
    ours = (views.camera_from_world[0] @ np.c_[world, np.ones(20)].T)[:3].T @ views.intrinsics[0].T
    assert np.abs(ours[:, :2] / ours[:, 2:] - expected).max() < 1e-6
    assert np.allclose(ours[:, 2], -camera[:, 2], atol=1e-12)
    assert np.allclose(np.linalg.inv(views.camera_from_world[0])[:3, 3], pose(3)[:3, 3], atol=1e-12)


def test_pixels_masks_and_the_off_centre_principal_point_arrive_unchanged(layout):
    mask = pixels(7, 1)[..., 0]
    layout.add(0, 0, mask=mask)
    scene = open_set(layout.write())
    frame = scene.frame(0)
    assert np.array_equal(frame.image, pixels(0))
    assert np.array_equal(frame.mask, mask)
    assert scene.views.intrinsics[0].tolist() == [[FX, 0, CX], [0, FY, CY], [0, 0, 1]]
    assert scene.background == (1.0, 1.0, 1.0)
    assert scene.rig == "flame"


def test_timesteps_may_be_missing_and_need_not_start_at_zero(layout):
    for timestep in (5, 6, 9):
        layout.add(timestep, 0)
        layout.add(timestep, 8, "val")
    layout.add(12, 0, "test")
    scene = open_set(layout.write())
    assert scene.timesteps == 4
    assert scene.timestep_names == ("00005", "00006", "00009", "00012")
    assert scene.views.timestep.tolist() == [0, 1, 2, 0, 1, 2, 3]
    assert scene.views.split.tolist() == ["train"] * 3 + ["val"] * 3 + ["test"]
    assert scene.views.camera.tolist() == [0, 0, 0, 8, 8, 8, 0]
    assert any("first timestep is 5" in note for note in scene.notes)
    assert any("7, 8, 10, 11" in note for note in scene.notes)
    fields = tracking(9)
    for name, field in (("jaw", "jaw_pose"), ("eyes", "eyes_pose"), ("expression", "expr")):
        assert torch.equal(scene.rig_parameters[name][2], torch.from_numpy(fields[field][0]))


def test_each_of_a_frames_own_intrinsics_wins_over_the_files(layout):
    layout.add(0, 0)
    layout.add(0, 1, fl_x=33.0, fl_y=None, cx=None, cy=None)
    layout.add(0, 2, fl_x=None, fl_y=None, cx=None, cy=None, camera_angle_x=0.8)
    layout.add(0, 3, fl_x=None, fl_y=None, cx=None, cy=None)
    scene = open_set(layout.write(fl_x=77.0, fl_y=78.0, cx=1.0, cy=2.0, w=99, h=98, camera_angle_x=0.1))
    focal = WIDTH / 2 / math.tan(0.4)
    expected = [(FX, FY, CX, CY), (33, 78, 1, 2), (focal, focal, 1, 2), (77, 78, 1, 2)]
    for matrix, (fx, fy, cx, cy) in zip(scene.views.intrinsics, expected, strict=True):
        assert np.allclose(matrix, [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], rtol=0, atol=1e-9)
    assert (scene.views.width, scene.views.height) == (WIDTH, HEIGHT)
    assert any("1 frames have no intrinsics of their own" in note for note in scene.notes)


def test_an_old_export_has_an_angle_of_view_only_and_no_sizes(layout):
    fields = dict.fromkeys(("fl_x", "fl_y", "cx", "cy", "w", "h", "fg_mask_path", "flame_param_path"))
    layout.add(0, 0, **fields)
    scene = open_set(layout.write(camera_angle_x=0.6))
    focal = WIDTH / 2 / math.tan(0.3)
    expected = [[focal, 0, WIDTH / 2], [0, focal, HEIGHT / 2], [0, 0, 1]]
    assert np.allclose(scene.views.intrinsics[0], expected)
    assert scene.frame(0).mask is None


def test_a_combined_set_takes_files_of_its_siblings_and_of_nothing_else(tmp_path):
    folder = tmp_path / "subject"
    first, second = Layout(folder / "EMO-1"), Layout(folder / "SEN-2")
    for layout, seed in ((first, 11), (second, 22)):
        layout.add(0, 0, image=pixels(seed))
    np.savez(second.root / "flame_param" / "00000.npz", **tracking(77))
    union = Layout(folder / "UNION")
    for name in ("EMO-1", "SEN-2"):
        frame = union.add(0, 0)
        frame["file_path"] = f"../{name}/images/00000_00.png"
        frame["flame_param_path"] = f"../{name}/flame_param/00000.npz"
    scene = open_set(union.write())
    assert scene.views.names == ("EMO-1/00000_00", "SEN-2/00000_00")
    assert scene.timestep_names == ("EMO-1/00000", "SEN-2/00000")
    assert scene.views.timestep.tolist() == [0, 1]
    for view, seed in ((0, 11), (1, 22)):
        assert np.array_equal(scene.frame(view).image, pixels(seed))
    assert torch.equal(scene.rig_parameters["jaw"][1], torch.from_numpy(tracking(77)["jaw_pose"][0]))
    for path in (
        "../../secret.png",
        "../../../etc/passwd",
        str(tmp_path / "secret.png"),
        "images/../../../x.png",
    ):
        frame["file_path"] = path
        with pytest.raises(DataError, match=r"transforms_train\.json.*file_path.*leaves the data set"):
            open_set(union.write())


def test_a_linked_sequence_is_fine(tmp_path):
    Layout(tmp_path / "store" / "EMO-1").add(0, 0)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "EMO-1").symlink_to(tmp_path / "store" / "EMO-1")
    union = Layout(tmp_path / "work" / "UNION")
    frame = union.add(0, 0)
    frame["file_path"] = "..\\EMO-1\\images\\00000_00.png"
    scene = open_set(union.write())
    assert np.array_equal(scene.frame(0).image, pixels(0))


def test_an_empty_val_split_is_noted(layout):
    layout.add(0, 0)
    scene = open_set(layout.write())
    assert scene.views.of("val").tolist() == []
    assert any("transforms_val.json has no frames" in note for note in scene.notes)


def test_transforms_json_alone_holds_camera_8_out(layout):
    for camera in (0, 8):
        layout.add(0, camera)
    root = layout.write()
    for split in ("train", "val", "test"):
        (root / f"transforms_{split}.json").rename(
            root / "transforms.json" if split == "train" else root / split
        )
    assert open_set(root).views.split.tolist() == ["train", "val"]
    assert open_set(root, val_camera=0).views.split.tolist() == ["val", "train"]


def test_training_pictures_of_one_camera(layout):
    for timestep, camera in ((0, 0), (0, 1), (1, 0)):
        layout.add(timestep, camera)
    layout.add(2, 1, "val")
    layout.add(3, 0, "test")
    root = layout.write()
    every = open_set(root).views
    assert (every.camera.tolist(), len(every)) == ([0, 1, 0, 1, 0], 5)
    views = open_set(root, camera=1).views
    assert (views.camera.tolist(), views.split.tolist()) == ([1, 1, 0], ["train", "val", "test"])
    with pytest.raises(DataError, match=r"no training picture of camera 7\.\nCameras .*: 0, 1\."):
        open_set(root, camera=7)


def test_a_picture_named_in_two_splits_stays_in_the_first(layout):
    layout.frames["val"].append(layout.add(0, 0))
    layout.add(0, 1, "val")
    scene = open_set(layout.write())
    assert scene.views.split.tolist() == ["train", "val"]
    assert any("1 pictures are named twice" in note for note in scene.notes)


def test_rgba_pictures_are_composited_and_their_alpha_is_the_mask(layout):
    rgba = pixels(1, 4)
    layout.add(0, 0, image=rgba)
    root = layout.write()
    for background in ((1.0, 1.0, 1.0), (0.0, 0.2, 1.0)):
        scene = open_set(root, background=background)
        frame = scene.frame(0)
        alpha = rgba[..., 3:].astype(float) / 255
        expected = rgba[..., :3] * alpha + 255 * np.array(background) * (1 - alpha)
        assert np.abs(frame.image - expected).max() <= 1
        assert np.array_equal(frame.mask, rgba[..., 3])
        assert scene.background == background


def test_another_background_is_exchanged_through_the_mask(layout):
    head, mask = pixels(1).astype(float), pixels(2, 1)[..., 0]
    share = mask[..., None] / 255
    on_white = np.rint(head * share + 255 * (1 - share)).astype(np.uint8)
    layout.add(0, 0, image=on_white, mask=mask)
    frame = open_set(layout.write(), background=(0.0, 0.5, 0.25)).frame(0)
    expected = head * share + 255 * np.array([0, 0.5, 0.25]) * (1 - share)
    assert np.abs(frame.image - expected).max() <= 1


def test_fifty_expression_coefficients_are_padded_and_odd_shapes_noted(tmp_path):
    layout = Layout(tmp_path / "s", expressions=50)
    layout.add(0, 0)
    layout.add(1, 0)
    offset = np.ones((1, 5143, 3), np.float32)
    changed = {**tracking(1, 50), "shape": np.ones(300, np.float32), "dynamic_offset": 2 * offset}
    np.savez(layout.root / "flame_param" / "00001.npz", **changed)
    np.savez(layout.root / "canonical_flame_param.npz", **tracking(0), static_offset=offset)
    scene = open_set(layout.write())
    expression = scene.rig_parameters["expression"]
    assert expression.shape == (2, 100)
    assert torch.equal(expression[0, :50], torch.from_numpy(tracking(0, 50)["expr"][0]))
    assert not expression[:, 50:].any()
    assert scene.identity["shape"].shape == (300,)
    assert scene.identity["static_offset"].shape == (5143, 3)
    assert scene.rig_parameters["dynamic_offset"][:, 0].tolist() == [0, 2]
    assert any("50 coefficients" in note for note in scene.notes)
    assert any("shape differs" in note for note in scene.notes)


def test_reading_is_deterministic_and_frames_may_be_decoded_by_many_threads(layout):
    for view in range(12):
        layout.add(view // 3, view % 3)
    root = layout.write()
    one, two = open_set(root), open_set(root, cache="ram")
    assert one.views.names == two.views.names
    assert np.array_equal(one.views.camera_from_world, two.views.camera_from_world)
    with ThreadPoolExecutor(8) as pool:
        frames = list(pool.map(two.frame, list(range(12)) * 5))
    for view, frame in zip(list(range(12)) * 5, frames, strict=True):
        assert np.array_equal(frame.image, one.frame(view).image)
    assert two.pictures.used == 12 * WIDTH * HEIGHT * 3


def test_pictures_are_kept_within_the_budget_only(layout):
    for view in range(4):
        layout.add(0, view)
    root = layout.write()
    size = WIDTH * HEIGHT * 3
    scene = open_set(root, cache="ram", memory=2.5 * size / 2**30)
    for _ in range(2):
        for view in range(4):
            assert np.array_equal(scene.frame(view).image, pixels(view))
    assert scene.pictures.used == 2 * size
    assert scene.frame(0) is scene.frame(0)
    assert scene.frame(3) is not scene.frame(3)
    assert open_set(root).pictures.used == 0

"""Tests of NeRF-synthetic scenes."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from PIL import Image

from surfhead.core.api import DataError
from surfhead.meshes import ply
from surfhead.plugins.datasets.blender import Blender
from surfhead.plugins.datasets.vhap.vhap import Vhap

SIZE = 8


def rgba(seed):
    return np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 4), dtype=np.uint8)


def pose(seed):
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * np.sign(np.linalg.det(rotation))
    matrix[:3, 3] = [0, 0, seed]
    return matrix


@pytest.fixture
def root(tmp_path):
    for number, split in enumerate(("train", "val", "test")):
        (tmp_path / split).mkdir()
        frames = []
        for index in range(2):
            Image.fromarray(rgba(10 * number + index)).save(tmp_path / split / f"r_{index}.png")
            matrix = pose(10 * number + index).tolist()
            frames.append({"file_path": f"./{split}/r_{index}", "rotation": 0.01, "transform_matrix": matrix})
        description = {"camera_angle_x": 0.69, "frames": frames}
        (tmp_path / f"transforms_{split}.json").write_text(json.dumps(description))
    return tmp_path


def test_it_is_recognised_and_not_taken_for_a_tracked_head(root):
    assert Blender.recognises(root)
    assert not Vhap.recognises(root)
    frames = [{"file_path": "a", "transform_matrix": [], "timestep_index": 0}]
    (root / "transforms_train.json").write_text(json.dumps({"frames": frames}))
    assert not Blender.recognises(root)


def test_cameras_splits_and_pixels(root):
    scene = Blender().open(root)
    assert scene.views.split.tolist() == ["train"] * 2 + ["val"] * 2 + ["test"] * 2
    assert len(set(scene.views.names)) == 6
    focal = SIZE / 2 / math.tan(0.345)
    assert np.allclose(scene.views.intrinsics, [[focal, 0, 4], [0, focal, 4], [0, 0, 1]])
    world = np.array([0.3, -0.2, 0.5, 1])
    gl = np.linalg.inv(pose(11)) @ world
    assert np.allclose(scene.views.camera_from_world[3] @ world, gl * [1, -1, -1, 1], atol=1e-9)
    frame = scene.frame(3)
    alpha = rgba(11)[..., 3:].astype(float) / 255
    assert np.abs(frame.image - (rgba(11)[..., :3] * alpha + 255 * (1 - alpha))).max() <= 1
    assert np.array_equal(frame.mask, rgba(11)[..., 3])
    assert (scene.rig, scene.rig_parameters) == ("none", {})


def test_random_points_fill_the_cube_and_depend_on_the_seed_alone(root):
    scene = Blender().open(root)
    assert scene.points.shape == scene.point_colours.shape == (100_000, 3)
    assert np.allclose(scene.points.min(0), -1.3, atol=1e-2)
    assert np.allclose(scene.points.max(0), 1.3, atol=1e-2)
    again = Blender().open(root)
    assert np.array_equal(scene.points, again.points)
    other = Blender(Blender.Options(seed=1, points=50, extent=2.0)).open(root)
    assert other.points.shape == (50, 3)
    assert np.abs(other.points).max() > 1.3


def test_points_are_read_from_the_ply_file_where_it_is(root):
    points = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    colours = np.arange(21, dtype=np.uint8).reshape(7, 3)
    names = ["x", "y", "z", "red", "green", "blue"]
    rows = np.empty(7, [(name, "u1" if len(name) > 1 else "<f4") for name in names])
    for name, values in zip(names, [*points.T, *colours.T], strict=True):
        rows[name] = values
    ply.write_ply(root / "points3d.ply", rows)
    scene = Blender().open(root)
    assert np.array_equal(scene.points, points.astype(float))
    assert np.array_equal(scene.point_colours, colours)
    ply.write_ply(root / "points3d.ply", ply.table(["x"], points[:, :1]))
    with pytest.raises(DataError, match=r"points3d\.ply.*y"):
        Blender().open(root)
    (root / "points3d.ply").write_bytes(b"ply\n")
    with pytest.raises(DataError, match=r"points3d\.ply"):
        Blender().open(root)


def test_missing_pictures_and_cameras_are_named(root):
    scene = Blender().open(root)
    (root / "train" / "r_1.png").unlink()
    with pytest.raises(DataError, match=r"r_1\.png"):
        scene.frame(1)
    (root / "transforms_val.json").unlink()
    assert Blender().open(root).views.of("val").tolist() == []
    (root / "transforms_train.json").unlink()
    with pytest.raises(DataError, match=r"transforms_train\.json"):
        Blender().open(root)

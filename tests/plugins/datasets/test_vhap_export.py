"""Tests of writing VHAP's layout from any scene and rig."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from surfhead.core.api import Frame, Scene, Views
from surfhead.plugins.datasets.vhap.vhap import Vhap

WIDTH, HEIGHT = 9, 7
SPLITS = ["train", "train", "val", "test"]


class Made(Scene):
    """Two cameras, two timesteps, random pictures."""

    def __init__(self, rig, parameters, identity):
        generator = np.random.default_rng(0)
        poses = np.tile(np.eye(4), (4, 1, 1))
        for at in range(4):
            turn = np.linalg.qr(generator.normal(size=(3, 3)))[0]
            poses[at, :3, :3] = turn * np.sign(np.linalg.det(turn))
            poses[at, :3, 3] = generator.normal(size=3)
        intrinsics = np.tile(np.array([[20.0, 0, 4.1], [0, 21, 2.9], [0, 0, 1]]), (4, 1, 1))
        intrinsics[:, 0, 0] += np.arange(4)
        step, camera = np.array([0, 1, 0, 2]), np.array([0, 0, 8, 0])
        names = tuple("abcd")
        views = Views(poses, intrinsics, step, camera, np.array(SPLITS), names, HEIGHT, WIDTH)
        super().__init__(
            views, rig=rig, rig_parameters=parameters, identity=identity, rig_options={"path": "head"}
        )
        self.pixels = generator.integers(0, 256, (4, HEIGHT, WIDTH, 3), dtype=np.uint8)
        self.masks = generator.integers(0, 256, (4, HEIGHT, WIDTH), dtype=np.uint8)

    def frame(self, view):
        return Frame(self.pixels[view], self.masks[view])


@pytest.fixture
def flame_scene():
    generator = torch.Generator().manual_seed(0)
    sizes = {"rotation": 3, "neck": 3, "jaw": 3, "eyes": 6, "translation": 3, "expression": 100}
    parameters = {name: torch.randn(3, size, generator=generator) for name, size in sizes.items()}
    identity = {
        "shape": torch.randn(300, generator=generator),
        "static_offset": torch.randn(5143, 3, generator=generator),
    }
    return Made("flame", parameters, identity)


def test_what_is_written_is_read_back(flame_scene, tmp_path):
    files = Vhap().write(flame_scene, tmp_path)
    assert [file.name for file in files] == [
        "transforms_train.json", "transforms_val.json", "transforms_test.json", "transforms.json"
    ]  # fmt: skip
    assert Vhap.recognises(tmp_path)
    read = Vhap().open(tmp_path)
    ours, theirs = flame_scene.views, read.views
    assert np.abs(theirs.camera_from_world - ours.camera_from_world).max() < 1e-12
    assert np.array_equal(theirs.intrinsics, ours.intrinsics)
    assert theirs.split.tolist() == SPLITS
    assert theirs.camera.tolist() == ours.camera.tolist()
    assert theirs.timestep.tolist() == ours.timestep.tolist()
    for view in range(4):
        assert np.array_equal(read.frame(view).image, flame_scene.pixels[view])
        assert np.array_equal(read.frame(view).mask, flame_scene.masks[view])
    assert (read.rig, read.rig_options) == ("flame", {"path": "head"})
    assert read.rig_parameters.keys() == flame_scene.rig_parameters.keys()
    for name, values in flame_scene.rig_parameters.items():
        assert torch.equal(read.rig_parameters[name], values), name
    for name, value in flame_scene.identity.items():
        assert torch.equal(read.identity[name], value), name


def test_others_loaders_find_what_the_layout_promises(flame_scene, tmp_path):
    Vhap().write(flame_scene, tmp_path)
    fields = dict(np.load(tmp_path / "flame_param" / "00001.npz"))
    shapes = {name: value.shape for name, value in fields.items()}
    assert shapes == {
        "translation": (1, 3),
        "rotation": (1, 3),
        "neck_pose": (1, 3),
        "jaw_pose": (1, 3),
        "eyes_pose": (1, 6),
        "shape": (300,),
        "expr": (1, 100),
        "static_offset": (1, 5143, 3),
    }
    neutral = dict(np.load(tmp_path / "canonical_flame_param.npz"))
    assert neutral["jaw_pose"][0].tolist() == [pytest.approx(0.3), 0, 0]
    zero = ("expr", "rotation", "neck_pose", "eyes_pose", "translation")
    assert not any(neutral[name].any() for name in zero)
    assert np.array_equal(neutral["shape"], fields["shape"])
    top = json.loads((tmp_path / "transforms_train.json").read_text())
    assert (top["timestep_indices"], top["camera_indices"]) == ([0, 1], [0])
    assert top["frames"][1]["file_path"] == "images/00001_00.png"
    assert top["frames"][1]["fl_x"] == 21.0
    # OpenGL axes: a point in front of the camera has negative z there
    world_from_camera = np.array(top["frames"][0]["transform_matrix"])
    point = np.linalg.inv(flame_scene.views.camera_from_world[0]) @ [0.1, 0.2, 2, 1]
    assert np.allclose(np.linalg.inv(world_from_camera) @ point, [0.1, -0.2, -2, 1])
    everything = json.loads((tmp_path / "transforms.json").read_text())
    assert len(everything["frames"]) == 4
    with Image.open(tmp_path / "images" / "00000_08.png") as image:
        assert image.size == (WIDTH, HEIGHT)


def test_another_rigs_parameters_survive_and_flame_readers_get_the_poses(tmp_path):
    parameters = {
        "rotation": torch.rand(3, 3),
        "eyes": torch.rand(3, 6),
        "expression": torch.rand(3, 25),
        "lids": torch.rand(3, 1),
    }
    scene = Made("ict", parameters, {"shape": torch.rand(3)})
    Vhap().write(scene, tmp_path)
    read = Vhap().open(tmp_path)
    assert (read.rig, read.rig_options) == ("ict", {"path": "head"})
    assert read.rig_parameters.keys() == parameters.keys()
    for name, values in parameters.items():
        assert torch.equal(read.rig_parameters[name], values), name
    assert torch.equal(read.identity["shape"], scene.identity["shape"])
    fields = dict(np.load(tmp_path / "flame_param" / "00002.npz"))
    assert np.array_equal(fields["rotation"][0], parameters["rotation"][2].numpy())
    assert not fields["expr"].any()
    assert not fields["jaw_pose"].any()
    assert not fields["shape"].any()

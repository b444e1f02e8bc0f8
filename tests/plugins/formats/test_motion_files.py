"""Motion files of other trackers: their names, their rotations, their shapes."""

from __future__ import annotations

import io
import logging
import math

import numpy as np
import pytest
import torch

from surfhead.core.api import DataError, OptionError, geometry
from surfhead.data.opening import data_choice
from surfhead.plugins.formats.motion import Motion
from surfhead.results.drivers import read_driver

T = 4
JAW = np.linspace(0, 0.6, 3 * T).reshape(T, 3)
HEAD = np.linspace(-0.3, 0.4, 3 * T).reshape(T, 3)
EYES = np.linspace(-0.2, 0.2, 6 * T).reshape(T, 6)
EXPRESSION = np.random.default_rng(0).normal(size=(T, 50))


def matrices(rotations):
    return geometry.axis_angle_to_matrix(torch.from_numpy(rotations.reshape(-1, 3))).numpy()


def six(rotations):
    """The first two rows of each matrix."""
    return matrices(rotations)[:, :2].reshape(len(rotations), -1)


def read(tmp_path, **fields):
    np.savez(tmp_path / "m.npz", **fields)
    return Motion().read(tmp_path / "m.npz").parameters


def same(found, expected):
    return np.abs(found.numpy() - expected).max() < 1e-6


def test_a_turn_about_x_in_6d_is_hand_computed(tmp_path):
    # rows of a rotation by a about x: (1, 0, 0), (0, cos a, -sin a)
    a = 0.5
    found = read(tmp_path, exp=EXPRESSION[:1], jaw=[[1, 0, 0, 0, math.cos(a), -math.sin(a)]])
    assert same(found["jaw"], np.array([[a, 0, 0]]))


VHAP = {"expr": EXPRESSION, "jaw_pose": JAW, "rotation": HEAD, "eyes_pose": EYES}
LAYOUTS = {
    "vhap": VHAP,
    "deca": {"exp": EXPRESSION, "pose": np.concatenate([HEAD, JAW], axis=1), "eyes": EYES},
    "emoca": {"expcode": EXPRESSION, "posecode": np.concatenate([HEAD, JAW], axis=1), "eye_pose": EYES},
    "smirk": {"expression_params": EXPRESSION, "pose_params": HEAD, "jaw_params": JAW, "eyes": EYES},
    "flame": {"exp": EXPRESSION, "full_pose": np.concatenate([HEAD, 0 * JAW, JAW, EYES], axis=1)},
    "6d": {"exp": EXPRESSION, "rotation": six(HEAD), "jaw": six(JAW), "eyes": six(EYES)},
    "matrices": {"exp": EXPRESSION, "R": matrices(HEAD), "jaw": matrices(JAW), "eyes": EYES},
    "leading axis": {name: value[None] for name, value in VHAP.items()},
    "axis of one joint": {**VHAP, "jaw_pose": JAW[:, None], "rotation": HEAD[:, None]},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_trackers_names_and_rotations_give_the_same_motion(tmp_path, layout):
    fields = dict(LAYOUTS[layout])
    if layout == "6d":
        fields["eyes"] = six(EYES.reshape(-1, 3)).reshape(T, 12)
    found = read(tmp_path, **fields)
    assert same(found["expression"], np.pad(EXPRESSION, ((0, 0), (0, 50))))
    for name, expected in (("jaw", JAW), ("rotation", HEAD), ("eyes", EYES)):
        assert same(found[name], expected), name


def test_vhaps_own_file_is_read_and_what_is_no_motion_is_named(tmp_path, caplog):
    extra = {
        "shape": np.zeros(300),
        "static_offset": np.zeros((1, 12, 3)),
        "timestep_id": np.array(["00000", "00001"]),
        "tex": np.full(5, np.nan),
        "lights": np.zeros((9, 3)),
    }
    with caplog.at_level(logging.WARNING, "surfhead"):
        found = read(tmp_path, **VHAP, **extra, neck_pose=JAW, translation=HEAD)
    assert set(found) == {"expression", "jaw", "rotation", "eyes", "neck", "translation"}
    assert "that are no motion are not read: lights, tex, timestep_id." in caplog.text


def test_a_single_timesteps_matrix_is_told_from_three_timesteps(tmp_path):
    one = read(tmp_path, exp=EXPRESSION[:1], jaw=matrices(JAW[1:2]))
    assert same(one["jaw"], JAW[1:2])
    three = read(tmp_path, exp=EXPRESSION[:3], jaw=JAW[None, :3])
    assert same(three["jaw"], JAW[:3])


@pytest.mark.parametrize(
    ("tail", "names"), [((), ()), ((JAW,), ("jaw",)), ((HEAD, JAW), ("rotation", "jaw"))]
)
def test_bare_arrays_of_expressions(tmp_path, tail, names, caplog):
    path = tmp_path / "m.npy"
    for values in (array := np.concatenate([EXPRESSION, *tail], axis=1), array[None]):
        np.save(path, values)
        found = read_driver(path).parameters
        assert set(found) == {"expression", *names}
        assert same(found["expression"][:, :50], EXPRESSION)
        for name, expected in zip(names, tail, strict=True):
            assert same(found[name], expected)
    assert f"one array of {50 + 3 * len(tail)} columns, read as expr" in caplog.text


def test_other_arrays_and_pickles_are_refused_with_their_shape(tmp_path):
    np.save(tmp_path / "m.npy", np.zeros((4, 7)))
    with pytest.raises(DataError, match=r"m\.npy.*shape \(4, 7\)[\s\S]*50, 100"):
        Motion().read(tmp_path / "m.npy")
    np.save(tmp_path / "m.npy", np.array({"exp": 1}, dtype=object))
    with pytest.raises(DataError, match=r"m\.npy.*pickled[\s\S]*numpy\.savez"):
        Motion().read(tmp_path / "m.npy")
    for fields, said in (
        ({"exp": EXPRESSION, "jaw": np.ones((T, 6))}, '"jaw"'),
        ({"exp": EXPRESSION, "pose": np.ones((T, 7))}, '"pose"'),
    ):
        with pytest.raises(DataError, match=said):
            read(tmp_path, **fields)


def test_a_rigs_own_names_are_left_as_they_are(tmp_path):
    found = read(tmp_path, jaw=JAW, expression=EXPRESSION, brow=np.ones((T, 6)))
    assert {name: tuple(rows.shape) for name, rows in found.items()} == {
        "jaw": (T, 3),
        "expression": (T, 50),
        "brow": (T, 6),
    }


def test_streams_are_read_like_files():
    stream = io.BytesIO()
    np.savez(stream, exp=EXPRESSION, pose=np.concatenate([HEAD, JAW], axis=1))
    stream.name = "upload"
    assert same(Motion().read(stream).parameters["jaw"], JAW)


FOLDERS = {
    "checkpoint/00000.frame": "output folder of metrical-tracker",
    "tracked_flame_params_30.npz": "output folder of VHAP's tracker",
    "flame/exp/00000.txt": "data set of INSTA",
}


@pytest.mark.parametrize("file", FOLDERS)
def test_folders_of_other_trackers_are_named_with_what_to_do(tmp_path, file):
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_bytes(b"x")
    frames = '{"frames": [{"file_path": "a", "transform_matrix": [], "exp_path": "flame/exp/00000.txt"}]}'
    (tmp_path / "transforms.json").write_text(frames)
    for read_it in (data_choice, lambda path: read_driver(tmp_path)):
        with pytest.raises(DataError, match=FOLDERS[file]) as caught:
            read_it(str(tmp_path))
        assert len(str(caught.value).splitlines()) == 3
        assert "docs/monocular.md" in caught.value.what or "Export it" in caught.value.what


def test_a_motion_that_could_not_be_read_back_is_not_written(tmp_path, ict_avatar):
    with pytest.raises(OptionError, match=r"x\.txt.*read back[\s\S]*\.npz"):
        Motion().write(ict_avatar, tmp_path / "x.txt")
    assert not (tmp_path / "x.txt").exists()

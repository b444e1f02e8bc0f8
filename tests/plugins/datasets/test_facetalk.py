"""Tests of FaceTalk-style sequences."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from surfhead.core.api import DataError
from surfhead.plugins.datasets.facetalk import Facetalk

SIZE = 16
INTRINSICS = [-3.0, -2.5, 0.1, -0.2]


def camera():
    rotation = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0]
    rotation *= np.sign(np.linalg.det(rotation))
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, [0.1, 0.2, 3]
    return matrix


def pixels(seed, channels=3):
    return np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, channels), dtype=np.uint8)


@pytest.fixture
def root(tmp_path):
    for number, name in enumerate(("sentence01", "sentence07", "mouth_extreme", "eyes")):
        folder = tmp_path / name
        for part in ("images", "masks", "normals"):
            (folder / part).mkdir(parents=True)
        frames = []
        for index in range(2):
            seed = 10 * number + index
            Image.fromarray(pixels(seed)).save(folder / "images" / f"{index:04d}.png")
            Image.fromarray(pixels(seed, 1)[..., 0]).save(folder / "masks" / f"{index:04d}.png")
            normals = np.random.default_rng(seed).normal(size=(SIZE, SIZE, 3)).astype(np.float32)
            np.save(folder / "normals" / f"{index:04d}.npy", normals)
            pose = (np.arange(15) + 100 * seed).tolist()
            frames.append({"file_path": f"images/{index:04d}.png", "pose": pose, "expression": [seed] * 50})
        description = {"intrinsics": INTRINSICS, "cam": camera().tolist(), "shape": [0.5] * 100}
        description["frames"] = frames
        (folder / "transforms.json").write_text(json.dumps(description))
    return tmp_path


def edit(root, change):
    file = root / "sentence07" / "transforms.json"
    description = json.loads(file.read_text())
    change(description)
    file.write_text(json.dumps(description))


def test_it_is_recognised_by_its_cameras(root, tmp_path_factory):
    assert Facetalk.recognises(root)
    assert not Facetalk.recognises(root / "eyes")
    assert not Facetalk.recognises(tmp_path_factory.mktemp("empty"))


def test_splits_follow_the_lists(root):
    views = Facetalk().open(root).views
    assert views.names[0] == "eyes/00000"
    split = {name.split("/")[0]: of for name, of in zip(views.names, views.split.tolist(), strict=True)}
    assert split == {"sentence01": "train", "sentence07": "train", "mouth_extreme": "test", "eyes": "test"}
    chosen = Facetalk(Facetalk.Options(train=("mouth_*",), test=("sentence0?",))).open(root).views
    assert set(zip([n.split("/")[0] for n in chosen.names], chosen.split.tolist(), strict=True)) == {
        ("mouth_extreme", "train"), ("sentence01", "test"), ("sentence07", "test")
    }  # fmt: skip


def test_points_land_where_the_turned_axes_say(root):
    views = Facetalk().open(root).views
    world = np.c_[np.random.default_rng(0).normal(size=(9, 3)) * 0.3, np.ones(9)]
    x, y, z = (world @ camera().T)[:, :3].T
    # focal lengths of 24 and 20 pixels; the camera's x points left and its y up, so both change sign
    expected = np.stack([7.2 + 24 * -x / z, 9.6 + 20 * -y / z], axis=1)
    ours = (world @ views.camera_from_world[0].T)[:, :3] @ views.intrinsics[0].T
    assert np.abs(ours[:, :2] / ours[:, 2:] - expected).max() < 1e-9
    assert np.array_equal(ours[:, 2], z)


def test_a_centre_near_one_half_is_a_fraction_of_the_picture(root):
    edit(root, lambda d: d.update(intrinsics=[-3.0, -3.0, 0.5, 0.55]))
    views = Facetalk().open(root).views
    assert views.intrinsics[views.names.index("sentence07/00000"), :2, 2].tolist() == [
        8.0,
        pytest.approx(8.8),
    ]


def test_parameters_are_split_and_padded(root):
    scene = Facetalk().open(root)
    row = scene.views.names.index("sentence07/00001")
    base = 100 * 11
    expected = {"rotation": range(3), "neck": range(3, 6), "jaw": range(6, 9), "eyes": range(9, 15)}
    for name, numbers in expected.items():
        assert scene.rig_parameters[name][row].tolist() == [base + n for n in numbers]
    assert scene.rig_parameters["expression"][row].tolist() == [11.0] * 50 + [0.0] * 50
    assert scene.identity["shape"].tolist() == [0.5] * 100 + [0.0] * 200
    assert scene.timesteps == 8
    assert scene.rig == "flame"


def test_pictures_are_cut_out_and_normals_turned(root):
    scene = Facetalk().open(root)
    row = scene.views.names.index("sentence01/00001")
    frame = scene.frame(row)
    share = pixels(1, 1).astype(float) / 255
    assert np.abs(frame.image - (pixels(1) * share + 255 * (1 - share))).max() <= 1
    assert np.array_equal(frame.mask, pixels(1, 1)[..., 0])
    normals = np.random.default_rng(1).normal(size=(SIZE, SIZE, 3)).astype(np.float32)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    assert np.allclose(frame.normal, normals * [-1, -1, 1], atol=1e-6)
    half = Facetalk(Facetalk.Options(resolution=2)).open(root).frame(row)
    assert half.image.shape == half.normal.shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda d: d["frames"][1].update(pose=[0.0] * 14), "pose"),
        (lambda d: d["frames"][1].update(pose=[float("nan")] * 15), "pose"),
        (lambda d: d["frames"][1].update(expression=[0.0] * 101), "expression"),
        (lambda d: d["frames"][1].update(intrinsics=[3.0, -3, 0, 0]), "intrinsics"),
        (lambda d: d["frames"][1].update(cam=(2 * np.eye(4)).tolist()), "cam"),
        (lambda d: d["frames"][1].update(file_path="../sentence01/images/0000.png"), "file_path"),
    ],
)
def test_wrong_fields_are_named_with_their_file(root, change, field):
    edit(root, change)
    with pytest.raises(DataError, match=rf'sentence07.*"{field}" of frame 1'):
        Facetalk().open(root)


def test_missing_fields_and_damaged_normals_are_named(root):
    file = root / "sentence01" / "normals" / "0000.npy"
    scene = Facetalk().open(root)
    row = scene.views.names.index("sentence01/00000")
    for damage in (b"", file.read_bytes()[:200]):
        file.write_bytes(damage)
        with pytest.raises(DataError, match=r"0000\.npy"):
            scene.frame(row)
    np.save(file, np.zeros((3, 3, 3)))
    with pytest.raises(DataError, match=r"0000\.npy.*\(3, 3, 3\)"):
        scene.frame(row)
    edit(root, lambda d: d.pop("cam"))
    with pytest.raises(DataError, match='sentence07.*"cam"'):
        Facetalk().open(root)
    with pytest.raises(DataError, match="no frames"):
        Facetalk(Facetalk.Options(train=("none",), test=())).open(root)

"""Tests of COLMAP models, which the tests write in both encodings."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image

from surfhead.core.api import DataError
from surfhead.meshes import ply
from surfhead.plugins.datasets.colmap import Colmap

WIDTH, HEIGHT, COUNT = 20, 12, 10
PARAMETERS = (30.0, 28.0, 9.5, 6.25)
POINTS = np.random.default_rng(1).normal(size=(5, 3))
COLOURS = np.random.default_rng(2).integers(0, 256, (5, 3))
# a quarter turn about each axis in turn, then a general rotation: quaternion (w, x, y, z) and matrix
HALF = np.sqrt(0.5)
TURNS = [
    ((HALF, HALF, 0, 0), [[1, 0, 0], [0, 0, -1], [0, 1, 0]]),
    ((HALF, 0, HALF, 0), [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]),
    ((HALF, 0, 0, HALF), [[0, -1, 0], [1, 0, 0], [0, 0, 1]]),
    ((0.5, 0.5, 0.5, 0.5), [[0, 0, 1], [1, 0, 0], [0, 1, 0]]),
]


def images():
    """(id, quaternion, translation, camera, name), not in the order of names."""
    order = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]
    return [(n + 10, TURNS[n % 4][0], (n, 0.5, 2.0 + n), 1 + n % 2, f"pic {n}.png") for n in order]


def pixels(number, size=(WIDTH, HEIGHT)):
    shape = (size[1], size[0], 3)
    return np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8)


def write_binary(folder, model=1, parameters=PARAMETERS):
    cameras = struct.pack("<Q", 2)
    for number in (1, 2):
        cameras += struct.pack("<iiQQ", number, model, WIDTH, HEIGHT) + struct.pack(
            f"<{len(parameters)}d", *parameters
        )
    (folder / "cameras.bin").write_bytes(cameras)
    raw = struct.pack("<Q", COUNT)
    for number, turn, shift, camera, name in images():
        raw += struct.pack("<i4d3di", number, *turn, *shift, camera) + name.encode() + b"\0"
        raw += struct.pack("<Q", 2) + struct.pack("<ddq", 1.0, 2.0, -1) * 2
    (folder / "images.bin").write_bytes(raw)
    raw = struct.pack("<Q", len(POINTS))
    for number, (point, colour) in enumerate(zip(POINTS, COLOURS, strict=True)):
        raw += struct.pack("<Q3d3Bd", number, *point, *map(int, colour), 0.5)
        raw += struct.pack("<Q", 1) + struct.pack("<ii", 10, 0)
    (folder / "points3D.bin").write_bytes(raw)


def write_text(folder, model="PINHOLE", parameters=PARAMETERS):
    rows = [f"{n} {model} {WIDTH} {HEIGHT} {' '.join(map(str, parameters))}" for n in (1, 2)]
    (folder / "cameras.txt").write_text("# Camera list\n" + "\n".join(rows) + "\n")
    rows = ["# Image list", "#   IMAGE_ID, QW, ..."]
    for at, (number, turn, shift, camera, name) in enumerate(images()):
        rows.append(" ".join(map(repr, (number, *map(float, turn), *shift, camera))) + " " + name)
        rows.append("" if at % 2 else "1.0 2.0 -1 3.0 4.0 7")
    (folder / "images.txt").write_text("\n".join(rows) + "\n")
    rows = [
        " ".join(map(repr, (n, *map(float, point), *map(int, colour), 0.5, 10, 0)))
        for n, (point, colour) in enumerate(zip(POINTS, COLOURS, strict=True))
    ]
    (folder / "points3D.txt").write_text("# 3D point list\n" + "\n".join(rows))


@pytest.fixture
def root(tmp_path):
    (tmp_path / "sparse" / "0").mkdir(parents=True)
    (tmp_path / "images").mkdir()
    for number in range(COUNT):
        Image.fromarray(pixels(number)).save(tmp_path / "images" / f"pic {number}.png")
    return tmp_path


@pytest.fixture(params=["binary", "text"])
def written(root, request):
    (write_binary if request.param == "binary" else write_text)(root / "sparse" / "0")
    return root


def test_poses_intrinsics_points_and_pixels(written):
    assert Colmap.recognises(written)
    scene = Colmap().open(written)
    views = scene.views
    assert views.names == tuple(f"pic {number}.png" for number in range(COUNT))
    for number in range(COUNT):
        expected = np.eye(4)
        expected[:3, :3], expected[:3, 3] = TURNS[number % 4][1], (number, 0.5, 2.0 + number)
        assert np.abs(views.camera_from_world[number] - expected).max() < 1e-12
        assert np.array_equal(scene.frame(number).image, pixels(number))
    assert np.array_equal(views.intrinsics[3], [[30, 0, 9.5], [0, 28, 6.25], [0, 0, 1]])
    assert np.allclose(scene.points, POINTS, rtol=0, atol=1e-15)
    assert np.array_equal(scene.point_colours, COLOURS)
    assert scene.rig == "none"


def test_every_eighth_picture_is_held_out(written):
    assert Colmap().open(written).views.of("test").tolist() == [0, 8]
    assert Colmap(Colmap.Options(test_every=0)).open(written).views.of("test").tolist() == []


def test_smaller_pictures_scale_the_intrinsics(root):
    write_binary(root / "sparse" / "0")
    (root / "images_2").mkdir()
    for number in range(COUNT):
        Image.fromarray(pixels(number, (10, 6))).save(root / "images_2" / f"pic {number}.png")
    scene = Colmap(Colmap.Options(images="images_2")).open(root)
    assert np.allclose(scene.views.intrinsics[0], [[15, 0, 4.75], [0, 14, 3.125], [0, 0, 1]])
    assert (scene.views.width, scene.views.height) == (10, 6)
    assert np.array_equal(scene.frame(2).image, pixels(2, (10, 6)))


def test_a_simple_pinhole_has_one_focal_length(root):
    write_binary(root / "sparse" / "0", 0, (25.0, 10.0, 6.0))
    assert np.array_equal(Colmap().open(root).views.intrinsics[0], [[25, 0, 10], [0, 25, 6], [0, 0, 1]])


@pytest.mark.parametrize(
    ("number", "name", "count"), [(2, "SIMPLE_RADIAL", 4), (4, "OPENCV", 8), (5, "OPENCV_FISHEYE", 8)]
)
def test_distorted_models_say_to_undistort_first(root, number, name, count):
    folder = root / "sparse" / "0"
    write_binary(folder, number, (10.0,) * count)
    with pytest.raises(DataError, match=rf"cameras\.bin.*{name}[\s\S]*undistort"):
        Colmap().open(root)
    for file in folder.iterdir():
        file.unlink()
    write_text(folder, name, (10.0,) * count)
    with pytest.raises(DataError, match=rf"cameras\.txt.*{name}[\s\S]*undistort"):
        Colmap().open(root)


def test_the_model_may_lie_in_sparse_itself_and_points_may_be_missing(root):
    write_text(root / "sparse")
    (root / "sparse" / "points3D.txt").unlink()
    scene = Colmap(Colmap.Options(points=50)).open(root)
    assert scene.points.shape == (50, 3)
    assert "There is no point in the model; surfels start from 50 random points." in scene.notes


def test_damage_is_named(root, tmp_path_factory):
    folder = root / "sparse" / "0"
    with pytest.raises(DataError, match="no sparse model"):
        Colmap().open(tmp_path_factory.mktemp("empty"))
    for write, ending in ((write_binary, "bin"), (write_text, "txt")):
        for name in ("cameras", "images", "points3D"):
            write(folder)
            file = folder / f"{name}.{ending}"
            raw = file.read_bytes()
            file.write_bytes(raw[: len(raw) // 2] + (b"\nx y z\nx y z" if ending == "txt" else b""))
            with pytest.raises(DataError, match=rf"{name}\.{ending}"):
                Colmap().open(root)
        write(folder)
        (folder / f"images.{ending}").write_bytes(
            (folder / f"images.{ending}").read_bytes().replace(b"pic 4.png", b"../4.png\0"[:9])
        )
        with pytest.raises(DataError, match=rf"images\.{ending}"):
            Colmap().open(root)
        for file in folder.iterdir():
            file.unlink()


@pytest.mark.parametrize("value", [float("nan"), 5.0])
def test_a_pose_that_is_none_is_named_with_its_image(root, value):
    write_binary(root / "sparse" / "0")
    file = root / "sparse" / "0" / "images.bin"
    raw = bytearray(file.read_bytes())
    raw[12:20] = struct.pack("<d", value)  # the first image's quaternion
    file.write_bytes(raw)
    with pytest.raises(DataError, match=r"images\.bin.*pic 3\.png"):
        Colmap().open(root)


@pytest.mark.parametrize(
    ("number", "name", "parameters"),
    [(2, "SIMPLE_RADIAL", (30.0, 9.5, 6.25, 0)), (4, "OPENCV", (30.0, 30.0, 9.5, 6.25, 0, 0, 0, 0))],
)
def test_models_whose_coefficients_are_zero_are_pinholes(root, number, name, parameters):
    folder = root / "sparse" / "0"
    write_binary(folder, number, parameters)
    assert np.array_equal(Colmap().open(root).views.intrinsics[0], [[30, 0, 9.5], [0, 30, 6.25], [0, 0, 1]])
    for file in folder.iterdir():
        file.unlink()
    write_text(folder, name, parameters)
    assert np.array_equal(Colmap().open(root).views.intrinsics[0], [[30, 0, 9.5], [0, 30, 6.25], [0, 0, 1]])


def test_new_camera_models_get_one_message_in_text_and_binary(root):
    folder = root / "sparse" / "0"
    said = []
    for number, name in ((11, "RAD_TAN_THIN_PRISM_FISHEYE"), (77, "QUANTUM")):
        for write, model in ((write_binary, number), (write_text, name)):
            for file in folder.iterdir():
                file.unlink()
            write(folder, model, (10.0,) * 16)
            with pytest.raises(DataError, match=r"cameras\.(bin|txt)") as caught:
                Colmap().open(root)
            what = caught.value.what.replace(".bin", ".txt").replace("number 77", "QUANTUM")
            said.append((what, caught.value.exists, caught.value.remedy))
    assert said[0] == said[1]
    assert said[2] == said[3]
    assert "of model QUANTUM, which is no pinhole" in said[3][0]


def test_images_without_their_lines_of_points_are_refused(root):
    folder = root / "sparse" / "0"
    write_text(folder)
    lines = (folder / "images.txt").read_text().splitlines()
    bare = [line for line in lines if line.startswith("#") or line.endswith(".png")]
    (folder / "images.txt").write_text("\n".join(bare))
    with pytest.raises(DataError, match=r"images\.txt.*line 4 is no line of points"):
        Colmap().open(root)


def test_of_several_models_the_largest_is_read_and_the_others_are_named(root):
    (root / "sparse" / "1").mkdir()
    write_binary(root / "sparse" / "1")
    write_text(root / "sparse" / "0")
    file = root / "sparse" / "0" / "images.txt"
    file.write_text("\n".join(file.read_text().splitlines()[:8]))  # three images
    scene = Colmap().open(root)
    assert len(scene.views) == 10
    assert scene.notes == (
        "Of 2 models, 1 with 10 pictures is read, not 0 (3); --set data.model=NAME chooses another.",
    )
    small = Colmap(Colmap.Options(model="0")).open(root)
    assert (len(small.views), small.notes) == (3, ())
    with pytest.raises(DataError, match=r'COLMAP model "2"[\s\S]*0, 1'):
        Colmap(Colmap.Options(model="2")).open(root)


def test_a_ply_file_stands_in_for_missing_points(root):
    write_binary(root / "sparse" / "0")
    (root / "sparse" / "0" / "points3D.bin").write_bytes(struct.pack("<Q", 0))
    rows = np.zeros(3, [(name, "<f4") for name in ("x", "y", "z", "red", "green", "blue")])
    rows["x"], rows["red"] = [1, 2, np.nan], 0.2
    ply.write_ply(root / "sparse" / "0" / "points3D.ply", rows)
    scene = Colmap().open(root)
    assert scene.points.tolist() == [[1, 0, 0], [2, 0, 0]]
    assert scene.point_colours.tolist() == [[51, 0, 0]] * 2
    assert any("1 points of points3D.ply held NaN" in note for note in scene.notes)
    assert any("within 0 and 1 and were scaled by 255" in note for note in scene.notes)


def test_images_with_a_zero_quaternion_are_left_out_and_counted(root):
    write_binary(root / "sparse" / "0")
    file = root / "sparse" / "0" / "images.bin"
    raw = bytearray(file.read_bytes())
    raw[12:44] = bytes(32)  # the first image's quaternion
    file.write_bytes(raw)
    scene = Colmap().open(root)
    assert len(scene.views) == 9
    assert "pic 3.png" not in scene.views.names
    assert "1 images have a zero quaternion and are left out." in scene.notes


def test_pictures_of_another_size_scale_the_camera_or_are_refused(root):
    write_binary(root / "sparse" / "0")
    Image.fromarray(pixels(3, (10, 6))).save(root / "images" / "pic 3.png")
    scene = Colmap().open(root)
    assert np.allclose(scene.views.intrinsics[3], [[15, 0, 4.75], [0, 14, 3.125], [0, 0, 1]])
    assert np.array_equal(scene.views.intrinsics[4], [[30, 0, 9.5], [0, 28, 6.25], [0, 0, 1]])
    assert "Cameras of 20x12 are scaled to 1 pictures of 10x6." in scene.notes
    Image.fromarray(pixels(3, (12, 20))).save(root / "images" / "pic 3.png")
    with pytest.raises(DataError, match=r"pic 3\.png.*12x20.*rotated by EXIF or by hand"):
        Colmap().open(root)

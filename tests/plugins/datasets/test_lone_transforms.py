"""Tests of a transforms.json that stands alone, in the many ways that people's tools write it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from surfhead.core.api import DataError, create
from surfhead.data.feed import Feed, Order, cameras_of
from surfhead.data.opening import data_choice
from surfhead.meshes import ply
from surfhead.plugins.datasets.lone_transforms import Transforms

WIDTH, HEIGHT = 20, 12
TOP = {"fl_x": 30.0, "fl_y": 31.0, "cx": 9.5, "cy": 6.25, "w": WIDTH, "h": HEIGHT}


def pixels(seed, width=WIDTH, height=HEIGHT):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def pose(seed):
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * np.sign(np.linalg.det(rotation))
    matrix[:3, 3] = [seed, 0.5, 2.0]
    return matrix


class Capture:
    """Writes pictures and a description, bit by bit."""

    def __init__(self, root):
        self.root = root
        self.frames = []

    def add(self, name="", size=(WIDTH, HEIGHT), **fields):
        number = len(self.frames)
        name = name or f"images/{number}.png"
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(number, *size)).save(self.root / name)
        frame = {"file_path": name, "transform_matrix": pose(number).tolist()}
        self.frames.append({**frame, **fields})
        return self

    def write(self, name="transforms.json", encoding="utf-8", **top):
        text = json.dumps({**TOP, **top, "frames": self.frames})
        (self.root / name).write_bytes(text.encode(encoding))
        return self.root


@pytest.fixture
def capture(tmp_path):
    return Capture(tmp_path / "data" / "scene")


def read(root, **options):
    return Transforms(Transforms.Options(points=40, **options)).open(root)


def k(fx, fy, cx, cy):
    return [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]


def test_cameras_pixels_and_the_held_out_pictures(capture):
    root = capture.add().add().add().write()
    assert data_choice(str(root)).name == "transforms"
    scene = read(root)
    assert scene.views.names == ("images/0.png", "images/1.png", "images/2.png")
    assert scene.views.split.tolist() == ["test", "train", "train"]
    assert read(root, test_every=0).views.split.tolist() == ["train"] * 3
    assert np.allclose(scene.views.intrinsics, k(30, 31, 9.5, 6.25))
    assert np.array_equal(scene.frame(2).image, pixels(2))
    world = np.array([0.3, -0.2, 0.5, 1])
    gl = np.linalg.inv(pose(2)) @ world
    assert np.allclose(scene.views.camera_from_world[2] @ world, gl * [1, -1, -1, 1])
    assert (scene.rig, scene.points.shape) == ("none", (40, 3))


def test_the_file_itself_may_be_given_under_any_name(capture):
    root = capture.add().write("transforms_v2.json")
    assert data_choice(str(root / "transforms_v2.json")).name == "transforms"
    assert len(read(root / "transforms_v2.json").views) == 1


def test_each_number_is_the_frames_else_the_files(capture):
    capture.add().add(fl_x=40.0).add(cy=5.0, fl_y=35).add(size=(10, 12), w=10, cx=4.0)
    scene = read(capture.write())
    expected = [k(30, 31, 9.5, 6.25), k(40, 31, 9.5, 6.25), k(30, 35, 9.5, 5), k(30, 31, 4, 6.25)]
    assert np.allclose(scene.views.intrinsics, expected)
    assert [scene.views.size(view) for view in range(4)] == [(12, 20)] * 3 + [(12, 10)]
    assert (scene.views.height, scene.views.width) == (12, 20)


def test_smaller_pictures_scale_the_camera_with_a_note(capture):
    scene = read(capture.add(size=(10, 6)).write())
    assert np.allclose(scene.views.intrinsics[0], k(15, 15.5, 4.75, 3.125))
    assert "Cameras of 20x12 are scaled to 1 pictures of 10x6." in scene.notes


def test_rotated_and_cropped_pictures_are_refused(capture):
    root = capture.add().add(size=(HEIGHT, WIDTH)).write()
    with pytest.raises(DataError, match=r"1\.png.*12x20.*swapped.*rotated by EXIF or by hand") as caught:
        read(root)
    assert len(str(caught.value).splitlines()) == 3
    Image.fromarray(pixels(1, 18, 12)).save(root / "images" / "1.png")
    with pytest.raises(DataError, match=r"1\.png.*18x12 pixels\.\nExpected 20x12 as its camera says"):
        read(root)


def test_a_centre_at_the_rim_tells_that_the_size_is_missing(capture):
    root = capture.add(size=(10, 6), w=None, h=None).write(w=None, h=None)
    with pytest.raises(DataError, match=r"10x6 pixels, but cy of its camera is 6\.25[\s\S]*\"w\" and \"h\""):
        read(root, test_every=0)


def test_angles_of_view_serve_without_focal_lengths(capture):
    bare = dict.fromkeys(TOP)
    scene = read(capture.add().write(**bare | {"camera_angle_x": 0.7, "camera_angle_y": 0.5}))
    expected = k(WIDTH / 2 / math.tan(0.35), HEIGHT / 2 / math.tan(0.25), 10, 6)
    assert np.allclose(scene.views.intrinsics[0], expected)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"camera_model": "OPENCV_FISHEYE"}, "model OPENCV_FISHEYE, which is no pinhole"),
        ({"camera_model": "EQUIRECTANGULAR"}, "model EQUIRECTANGULAR, which is no pinhole"),
        ({"is_fisheye": True}, r"model fisheye \(is_fisheye\), which is no pinhole"),
        ({"k1": "0.02"}, '"k1" of frame 0 describes lens distortion'),
        ({"distortion_params": [0, 0, 0.1, 0]}, '"distortion_params" of frame 0 describes lens distortion'),
    ],
)
def test_cameras_that_are_no_pinholes_are_refused_by_name(capture, fields, said):
    root = capture.add().write(**fields)
    with pytest.raises(DataError, match=said):
        read(root)
    capture.frames[0] |= fields
    capture.write()
    with pytest.raises(DataError, match=said):
        read(root)


def test_models_without_distortion_are_pinholes(capture):
    root = capture.add().write(camera_model="OPENCV", is_fisheye=False, k1=0, k2="0.0", p1=0.0)
    assert len(read(root).views) == 1


def test_masks_are_used(capture):
    capture.add(mask_path="masks/0.png").add()
    (capture.root / "masks").mkdir()
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[:, :5] = 255
    Image.fromarray(mask).save(capture.root / "masks" / "0.png")
    scene = read(capture.write())
    frame = scene.frame(0)
    assert np.array_equal(frame.mask, mask)
    assert (frame.image[:, 5:] == 255).all()
    assert np.array_equal(frame.image[:, :5], pixels(0)[:, :5])
    assert scene.frame(1).mask is None
    assert scene.files(0) == (capture.root / "images" / "0.png", scene.mask_file(0))


def test_three_rows_strings_and_scaled_rotations(capture):
    matrix = pose(1)
    matrix[:3, :3] *= 2.5
    text = [[str(value) for value in row] for row in pose(2).tolist()]
    capture.add(transform_matrix=pose(0)[:3].tolist()).add(transform_matrix=matrix.tolist())
    scene = read(capture.add(transform_matrix=text, fl_x="30.0", w="20").write(cx="9.5"))
    for view in range(3):
        expected = np.linalg.inv(pose(view) @ np.diag([1, -1, -1, 1]))
        assert np.allclose(scene.views.camera_from_world[view], expected)
    assert np.allclose(scene.views.intrinsics, k(30, 31, 9.5, 6.25))
    (note,) = [note for note in scene.notes if "scale" in note]
    assert note == (
        "Rotations of 1 cameras had a scale, which was taken out (2.5 in frame 1 of transforms.json)."
    )


@pytest.mark.parametrize("spoil", [np.diag([1, 1.3, 1, 1]), np.diag([-1.0, 1, 1, 1]), np.zeros((4, 4))])
def test_sheared_and_mirrored_cameras_are_refused(capture, spoil):
    root = capture.add(transform_matrix=(pose(0) @ spoil).tolist()).write()
    with pytest.raises(DataError, match="frame 0 is not a rotation and a translation"):
        read(root)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_other_encodings_are_read(capture, encoding):
    root = capture.add().write(encoding=encoding)
    assert Transforms.recognises(root)
    assert len(read(root).views) == 1


def test_why_a_folder_is_not_recognised_is_said(capture):
    root = capture.add().write()
    file = root / "transforms.json"
    cases = {
        b"\xff\xfe{": "cannot be read",
        b'{"frames": []}': "holds no frame",
        b'{"frames": [{"file_path": "x"}]}': 'has no "transform_matrix"',
        b'{"frames": [{"transform_matrix": [], "timestep_index": 0}]}': '"timestep_index"',
    }
    for content, said in cases.items():
        file.write_bytes(content)
        with pytest.raises(DataError, match=r"recognises .*transforms\.json") as caught:
            data_choice(str(root))
        assert said in caught.value.what
        assert len(str(caught.value).splitlines()) == 3


def test_endings_are_tried_and_parents_are_allowed_no_further(capture):
    capture.add("images/0.JPG", file_path="images/0").add("images/1.webp", file_path="images/1.png")
    capture.add("../shared/2.png")
    root = capture.write()
    assert [file.name for view in range(3) for file in read(root).files(view)] == ["2.png", "0.JPG", "1.webp"]
    capture.add(file_path="../../outside.png").write()
    with pytest.raises(DataError, match=r'"file_path" of frame 3 is .*outside\.png.*leaves'):
        read(root)


def test_a_file_without_any_picture_names_the_endings_that_were_tried(capture):
    root = capture.add().add(file_path="elsewhere/1").write()
    (root / "images" / "0.png").unlink()
    with pytest.raises(DataError, match=r"elsewhere.1\.png.*not there[\s\S]*\.jpg.*\.webp"):
        read(root)


def cloud(file, colours):
    kind = "u1" if colours.dtype == np.uint8 else "<f4"
    rows = np.empty(len(colours), [(n, "<f4") for n in "xyz"] + [(n, kind) for n in ("red", "green", "blue")])
    for number, name in enumerate("xyz"):
        rows[name] = np.arange(len(colours)) + number
    for number, name in enumerate(("red", "green", "blue")):
        rows[name] = colours[:, number]
    ply.write_ply(file, rows)


def test_named_points_and_colours_as_fractions(capture):
    root = capture.add().write(ply_file_path="cloud.ply")
    assert any("cloud.ply, which ply_file_path names, is not there" in note for note in read(root).notes)
    cloud(root / "cloud.ply", np.array([[0.0, 0.5, 1.0], [0.2, 0.2, 0.2]], np.float32))
    scene = read(root)
    assert scene.points.tolist() == [[0, 1, 2], [1, 2, 3]]
    assert scene.point_colours.tolist() == [[0, 128, 255], [51, 51, 51]]
    assert "Colours in cloud.ply are within 0 and 1 and were scaled by 255." in scene.notes
    cloud(root / "cloud.ply", np.array([[0, 1, 1]], np.uint8))
    assert read(root).point_colours.tolist() == [[0, 1, 1]]
    cloud(root / "cloud.ply", np.zeros((0, 3), np.uint8))
    empty = read(root)
    assert len(empty.points) == 40
    assert "cloud.ply holds no points." in empty.notes


def test_random_points_lie_where_cameras_look(capture):
    target = np.array([5.0, -3.0, 40.0])
    for number in range(6):
        angle = 2 * math.pi * number / 6
        z = np.array([math.cos(angle), 0.3, math.sin(angle)])
        z /= np.linalg.norm(z)
        x = np.cross([0, 1, 0], z)
        x /= np.linalg.norm(x)
        matrix = np.eye(4)
        matrix[:3, :3] = np.stack([x, np.cross(z, x), z], axis=1)
        matrix[:3, 3] = target + 8 * z
        capture.add(transform_matrix=matrix.tolist())
    scene = read(capture.write())
    assert np.abs(scene.points - target).max() <= 4 + 1e-9
    assert np.abs(scene.points - target).max() > 3
    wide = read(capture.write(), extent=1.0)
    assert np.abs(wide.points - target).max() <= 1 + 1e-9


def test_splits_that_the_file_names(capture):
    root = capture.add().add().add().write(train_filenames=["images/0.png"], val_filenames=["./images/2.png"])
    scene = read(root)
    assert scene.views.split.tolist() == ["train", "train", "val"]
    assert "1 frames are in no split of the file and are trained on." in scene.notes


def test_pictures_of_floats_are_scaled_with_a_note(capture):
    tifffile = pytest.importorskip("tifffile")
    capture.add("images/0.tif").add("images/1.tif")
    grey = np.linspace(0, 1, WIDTH * HEIGHT, dtype=np.float32).reshape(HEIGHT, WIDTH)
    colour = np.stack([grey, grey * 255, 1 - grey], axis=-1)
    Image.fromarray(grey).save(capture.root / "images" / "0.tif")
    tifffile.imwrite(capture.root / "images" / "1.tif", colour / [1, 255, 1], photometric="rgb")
    scene = read(capture.write())
    expected = np.rint(grey * 255)
    assert np.array_equal(scene.frame(0).image[..., 1], expected)
    assert np.abs(scene.frame(1).image[..., 1].astype(int) - expected).max() <= 1
    assert np.abs(scene.frame(1).image[..., 2] - (255 - expected)).max() <= 1
    assert any(note.startswith("2 pictures hold floats") for note in scene.notes)
    tifffile.imwrite(capture.root / "images" / "1.tif", np.full_like(colour, 100.0), photometric="rgb")
    assert (read(capture.root).frame(1).image == 100).all()
    tifffile.imwrite(capture.root / "images" / "1.tif", np.full_like(colour, np.nan), photometric="rgb")
    with pytest.raises(DataError, match=r"1\.tif.*NaN"):
        read(capture.root).frame(1)


def test_batches_hold_pictures_of_one_size(capture):
    for number in range(7):
        capture.add(size=(20, 12) if number % 3 else (12, 20), **({} if number % 3 else {"w": 12, "h": 20}))
    scene = read(capture.write(), test_every=0)
    views = scene.views.of("train")
    assert any("Pictures have 2 sizes: 12x20, 20x12" in note for note in scene.notes)
    order = Order(views, 0, scene.views.by_size(views), 2)
    feed = Feed(scene, torch.device("cpu"), "ram")
    epoch = []
    for _ in range(4):  # 4 pictures of one size and 3 of the other
        taken = order.take(2)
        epoch += taken.tolist()
        batch = feed.batch(taken)
        assert batch.image.shape[1:3] == (batch.cameras.height, batch.cameras.width)
        assert batch.image.shape[1:3] == scene.views.size(int(taken[0]))
    feed.close()
    assert set(epoch) == set(range(7))
    again = Order(views, 0, scene.views.by_size(views), 2)
    again.restore(0, 4)
    assert again.take(4).tolist() == epoch[4:]
    with pytest.raises(DataError, match=r"2 sizes cannot be drawn at once[\s\S]*12x20.*20x12|20x12.*12x20"):
        cameras_of(scene, [0, 1], "cpu")


def test_its_example_opens_by_its_name(tmp_path):
    made = type(create("dataset", "transforms")).example(tmp_path)
    scene = made.open(tmp_path)
    assert (len(scene.views), scene.points.shape) == (9, (20, 3))


def test_missing_pictures_are_counted_with_the_endings_that_were_tried(capture):
    root = capture.add().add(file_path="images/absent").write()
    (note,) = [note for note in read(root).notes if "not there" in note]
    assert note.startswith('1 pictures are not there, the first is "')
    assert note.endswith('absent.png"; endings tried: .png, .jpg, .jpeg, .webp, .tif, .tiff.')


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("transforms_train.json", '{"frames": [{"flame_param_path": "x"}]}', "canonical_flame_param.npz is"),
        ("transforms_train.json", '{"frames": [{"file_path": "x"}]}', 'no "transform_matrix"'),
        ("transforms_train.json", "{", "cannot be read"),
        ("sparse/0/cameras.bin", "", "holds no model"),
    ],
)
def test_why_other_folders_are_not_recognised_is_said(tmp_path, file, content, said):
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(content)
    with pytest.raises(DataError, match="No data set reader recognises") as caught:
        data_choice(str(tmp_path))
    assert said in caught.value.what

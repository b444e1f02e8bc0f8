"""Damaged data sets in VHAP's layout: every error names the file, the frame and the field."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from surfhead.core.api import DataError
from tests.plugins.datasets.vhap_layout import HEIGHT, WIDTH, Layout, open_set, pixels, tracking


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "sequence")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"transform_matrix": None}, "transform_matrix"),
        ({"transform_matrix": np.diag([1.0, 1.2, 1, 1]).tolist()}, "transform_matrix"),
        ({"transform_matrix": np.diag([-1.0, 1, 1, 1]).tolist()}, "transform_matrix"),
        ({"transform_matrix": np.full((4, 4), np.nan).tolist()}, "transform_matrix"),
        ({"transform_matrix": [[1, 2], [3]]}, "transform_matrix"),
        ({"transform_matrix": "identity"}, "transform_matrix"),
        ({"fl_x": float("nan")}, "fl_x"),
        ({"fl_x": -20.0}, "fl_x"),
        ({"cx": "middle"}, "cx"),
        ({"k1": 0.1}, "k1"),
        ({"timestep_index": None}, "timestep_index"),
        ({"timestep_index": -1}, "timestep_index"),
        ({"timestep_index": 1.5}, "timestep_index"),
        ({"file_path": None}, "file_path"),
        ({"w": 0}, "w"),
    ],
)
def test_wrong_fields_are_named_with_their_file_and_frame(layout, changes, field):
    layout.add(0, 0)
    layout.add(0, 1, **changes)
    with pytest.raises(DataError, match=rf'transforms_train\.json.*"{field}" of frame 1'):
        open_set(layout.write())


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"frames": 3}', '{"frames": [1]}', '{"frames": []}', "[" * 10**5]
)
def test_damaged_json_is_named(layout, text):
    layout.add(0, 0)
    root = layout.write()
    (root / "transforms_train.json").write_text(text)
    with pytest.raises(DataError, match=r"sequence"):
        open_set(root)
    (root / "transforms_train.json").unlink()
    with pytest.raises(DataError, match=r"transforms_train\.json"):
        open_set(root)


def test_damaged_tracking_is_named_with_its_field(layout):
    layout.add(0, 0)
    layout.add(3, 0)
    root = layout.write()
    file = root / "flame_param" / "00003.npz"
    good = tracking(3)
    cases = [
        ({k: v for k, v in good.items() if k != "jaw_pose"}, "jaw_pose"),
        ({**good, "neck_pose": np.zeros((1, 4))}, "neck_pose"),
        ({**good, "expr": np.zeros((1, 101))}, "expr"),
        ({**good, "rotation": np.full((1, 3), np.nan)}, "rotation"),
        ({**good, "translation": np.array([["a", "b", "c"]])}, "translation"),
        ({**good, "dynamic_offset": np.ones(7)}, "dynamic_offset"),
    ]
    for fields, name in cases:
        np.savez(file, **fields)
        with pytest.raises(DataError, match=rf"00003\.npz.*{name}"):
            open_set(root)
    np.savez(file, **{**good, "jaw_pose": np.array([{}], dtype=object)})
    with pytest.raises(DataError, match=r"00003\.npz"):
        open_set(root)
    raw = file.read_bytes()
    for damaged in (b"", raw[: len(raw) // 2], b"PK" + bytes(100)):
        file.write_bytes(damaged)
        with pytest.raises(DataError, match=r"00003\.npz"):
            open_set(root)
    file.unlink()
    with pytest.raises(DataError, match=r"00003\.npz"):
        open_set(root)


def test_missing_truncated_and_wrong_size_pictures_are_named(layout):
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    layout.add(0, 0, image=noise, mask=pixels(1, 1)[..., 0])
    root = layout.write()
    image, mask = root / "images" / "00000_00.png", root / "fg_masks" / "00000_00.png"
    for file in (image, mask):
        raw = file.read_bytes()
        for damaged in (b"", b"text", raw[:60], raw[:-40], raw[: len(raw) // 2]):
            file.write_bytes(damaged)
            with pytest.raises(DataError, match=rf"{file.parent.name}.*00000_00\.png"):
                open_set(root).frame(0)
        Image.fromarray(pixels(3)[:, :-1]).save(file)
        with pytest.raises(DataError, match=r"00000_00\.png.*9x8"):
            open_set(root).frame(0)
        file.unlink()
        with pytest.raises(DataError, match=r"00000_00\.png"):
            open_set(root).frame(0)
        file.write_bytes(raw)
    assert np.array_equal(open_set(root).frame(0).image, noise)


def test_a_folder_that_is_none_is_a_declared_error(tmp_path):
    for path in (None, tmp_path / "absent"):
        with pytest.raises(DataError, match="no folder"):
            open_set(path)

"""Tests of surfels in PLY files: exact round trips, sizes, and every way a file can be damaged."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest

from surfhead.core.api import DataError
from surfhead.meshes import ply
from surfhead.plugins.formats.point_cloud import read_points, write_points


def surfels(count, seed=0, rest=15):
    generator = np.random.default_rng(seed)
    shapes = {
        "offset": (3,),
        "log_scale": (2,),
        "quaternion": (4,),
        "opacity": (),
        "sh_dc": (3,),
        "sh_rest": (rest, 3),
        "specular": (24,),
        "blend": (4,),
    }
    made = {name: generator.standard_normal((count, *shape), np.float32) for name, shape in shapes.items()}
    made["triangle"] = generator.integers(0, 10144, count)
    return made


def columns(path):
    """The file's columns, read without any library: header lines, then packed floats."""
    raw = path.read_bytes()
    header, _, body = raw.partition(b"end_header\n")
    names = [line.split()[2].decode() for line in header.splitlines() if line.startswith(b"property float ")]
    return dict(zip(names, np.frombuffer(body, "<f4").reshape(-1, len(names)).T, strict=True))


@pytest.mark.parametrize("count", [0, 1, 257])
def test_the_round_trip_is_exact_to_the_bit(tmp_path, count):
    arrays = surfels(count)
    write_points(tmp_path / "x.ply", arrays, ("a comment",))
    back, comments = read_points(tmp_path / "x.ply")
    assert comments == ("a comment",)
    assert back.keys() == arrays.keys()
    for name, values in arrays.items():
        assert back[name].shape == values.shape, name
        assert back[name].tobytes() == values.tobytes(), name


def test_odd_floats_survive(tmp_path):
    arrays = surfels(4)
    arrays["opacity"][:] = np.array([0x7FC00001, 0xFFFFFFFF, 1, 0x80000000], "<u4").view("<f4")
    write_points(tmp_path / "x.ply", arrays)
    assert read_points(tmp_path / "x.ply")[0]["opacity"].tobytes() == arrays["opacity"].tobytes()


@pytest.mark.parametrize("rest", [0, 3, 8])
def test_lower_degrees_and_parameters_of_strangers_survive(tmp_path, rest):
    arrays = surfels(3, rest=rest)
    del arrays["specular"], arrays["blend"]
    if rest == 0:
        del arrays["sh_rest"]
    arrays["stranger_gain"] = np.arange(6, dtype=np.float32).reshape(3, 2)
    arrays["triangle"] = np.full(3, -1)
    write_points(tmp_path / "x.ply", arrays)
    back, _ = read_points(tmp_path / "x.ply")
    assert back.keys() == arrays.keys()
    for name, values in arrays.items():
        assert np.array_equal(back[name], values), name


def test_the_layout_is_surfheads(tmp_path):
    arrays = surfels(5)
    write_points(tmp_path / "x.ply", arrays)
    found = columns(tmp_path / "x.ply")
    assert list(found) == [
        *("x", "y", "z", "nx", "ny", "nz"),
        *(f"blend_weight_{i}" for i in range(4)),
        *(f"f_dc_{i}" for i in range(3)),
        *(f"f_rest_{i}" for i in range(45)),
        *("opacity", "scale_0", "scale_1"),
        *(f"rot_{i}" for i in range(4)),
        *(f"f_sg_{i}" for i in range(24)),
        "binding_0",
    ]
    for coefficient in range(15):
        for channel in range(3):
            expected = arrays["sh_rest"][:, coefficient, channel]
            assert np.array_equal(found[f"f_rest_{15 * channel + coefficient}"], expected)
    assert np.array_equal(found["rot_0"], arrays["quaternion"][:, 0])
    assert np.array_equal(found["binding_0"], arrays["triangle"])
    assert not found["ny"].any()


def test_columns_may_come_in_any_order_and_as_doubles(tmp_path):
    arrays = surfels(6)
    write_points(tmp_path / "x.ply", arrays)
    found = columns(tmp_path / "x.ply")
    names = list(found)
    random.Random(0).shuffle(names)
    rows = np.empty(6, [(name, "<f8") for name in names])
    for name in names:
        rows[name] = found[name]
    ply.write_ply(tmp_path / "y.ply", rows)
    back, _ = read_points(tmp_path / "y.ply")
    for name, values in arrays.items():
        assert np.array_equal(back[name], values), name


def test_a_million_surfels_take_less_than_five_seconds(tmp_path):
    small = surfels(1000)
    arrays = {name: np.resize(values, (1_000_000, *values.shape[1:])) for name, values in small.items()}
    start = time.process_time()  # of this process: other work on the machine does not count
    write_points(tmp_path / "x.ply", arrays)
    written = time.process_time()
    back, _ = read_points(tmp_path / "x.ply")
    assert written - start < 5
    assert time.process_time() - written < 5
    for name, values in arrays.items():
        assert np.array_equal(back[name], values), name


def test_hosts_beyond_what_a_float_holds_are_refused(tmp_path):
    arrays = surfels(1)
    arrays["triangle"][0] = 2**24 + 1
    with pytest.raises(DataError, match=r"x\.ply.*16777217"):
        write_points(tmp_path / "x.ply", arrays)


def edit(path, old, new):
    raw = path.read_bytes()
    assert old in raw
    path.write_bytes(raw.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"element vertex 9", b"element vertex 10", ""),
        (b"element vertex 9", b"element vertex 999999999999", "promises"),
        (b"element vertex 9", b"element vertex -9", "promises"),
        (b"element vertex 9", b"element vortex 9", "vertex"),
        (b"binary_little_endian", b"ascii", "text"),
        (b"property float rot_3\n", b"", "rot_3"),
        (b"property float y\n", b"property float yy\n", '"y"'),
        (b"property float scale_1\n", b"property float scalee\n", "scale_"),
        (b"property float f_rest_44\n", b"property float other\n", "f_rest_"),
        (b"property float f_sg_23\n", b"property float other\n", "f_sg_"),
        (b"property float nx\n", b"property list uchar float nx\n", ""),
        (b"property float nx\n", b"property float x\n", ""),
        (b"end_header", b"no_header", "end"),
        (b"ply\n", b"plx\n", "ply"),
    ],
)
def test_lying_and_text_headers_are_refused_with_the_files_name(tmp_path, old, new, message):
    path = tmp_path / "lie.ply"
    write_points(path, surfels(9))
    edit(path, old, new)
    with pytest.raises(DataError, match=r"lie\.ply") as caught:
        read_points(path)
    assert message in str(caught.value)


@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.7, 0.999])
def test_truncated_files_are_refused_with_their_name(tmp_path, share):
    path = tmp_path / "half.ply"
    write_points(path, surfels(9))
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(DataError, match=r"half\.ply"):
        read_points(path)
    path.unlink()
    with pytest.raises(DataError, match=r"half\.ply"):
        read_points(path)


@pytest.mark.parametrize("value", [np.nan, 0.5, -2, 1e9, np.inf])
def test_bindings_that_are_no_triangles_are_refused(tmp_path, value):
    path = tmp_path / "x.ply"
    write_points(path, surfels(3) | {"triangle": np.array([0, 7777, 2])})
    edit(path, np.float32(7777).tobytes(), np.float32(value).tobytes())
    with pytest.raises(DataError, match=r"x\.ply.*binding_0.*row 1"):
        read_points(path)

"""What other programs read: exported splats, read by independent libraries and drawn again."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
import torch
from plyfile import PlyData

from surfhead.avatars.avatar import Avatar
from surfhead.avatars.surfels import Surfels, merge_specs
from surfhead.core.api import create
from surfhead.plugins.formats.gltf import Gltf, splat_attributes
from surfhead.plugins.formats.posed import posed
from surfhead.plugins.formats.splats_2dgs import Splats2dgs
from surfhead.plugins.formats.splats_3dgs import Splats3dgs
from tests.plugins.formats.test_posed import cameras

WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}
KINDS = {5126: np.dtype("<f4"), 5121: np.dtype("u1")}
PREFIX = "KHR_gaussian_splatting:"


def columns(vertex, *names):
    return np.stack([np.asarray(vertex[name], dtype=np.float32) for name in names], axis=1)


def ply_splats(path):
    """Raw surfels of a PLY file as the 3D Gaussian splatting project lays them out, read by plyfile."""
    vertex = PlyData.read(path)["vertex"]
    scales = [name for name in vertex.data.dtype.names if name.startswith("scale_")]
    rest = columns(vertex, *(f"f_rest_{i}" for i in range(45)))
    return {
        "offset": columns(vertex, "x", "y", "z"),
        "log_scale": columns(vertex, *scales),
        "quaternion": columns(vertex, *(f"rot_{i}" for i in range(4))),
        "opacity": columns(vertex, "opacity")[:, 0],
        "sh_dc": columns(vertex, *(f"f_dc_{i}" for i in range(3))),
        "sh_rest": np.ascontiguousarray(rest.reshape(-1, 3, 15).swapaxes(1, 2)),
    }


def glb_attributes(path):
    """The first primitive of a GLB file: its attributes by name and itself, read by pygltflib."""
    pygltflib = pytest.importorskip("pygltflib", reason="the reader pygltflib is not installed")
    file = pygltflib.GLTF2().load_binary(str(path))
    blob = file.binary_blob()
    (primitive,) = file.meshes[0].primitives
    arrays = {}
    for name, number in vars(primitive.attributes).items():
        if number is None:
            continue
        accessor = file.accessors[number]
        view, kind = file.bufferViews[accessor.bufferView], KINDS[accessor.componentType]
        width = WIDTHS[accessor.type]
        assert view.byteOffset % 4 == 0
        assert view.byteLength == accessor.count * width * kind.itemsize
        flat = np.frombuffer(blob, kind, accessor.count * width, view.byteOffset)
        arrays[name] = flat.reshape(-1, width) if width > 1 else flat
    return arrays, primitive, file


def glb_splats(path):
    """Raw surfels of a GLB file."""
    found, _, _ = glb_attributes(path)
    count = len(found["POSITION"])
    rest = np.zeros((count, 15, 3), np.float32)
    for degree in (1, 2, 3):
        for number in range(2 * degree + 1):
            values = found.get(f"{PREFIX}SH_DEGREE_{degree}_COEF_{number}")
            if values is not None:
                rest[:, degree**2 - 1 + number] = values
    opacity = found[f"{PREFIX}OPACITY"].astype(np.float64)
    return {
        "offset": found["POSITION"],
        "log_scale": np.log(found[f"{PREFIX}SCALE"]),
        "quaternion": found[f"{PREFIX}ROTATION"][:, [3, 0, 1, 2]],
        "opacity": np.log(opacity / (1 - opacity)).astype(np.float32),
        "sh_dc": found[f"{PREFIX}SH_DEGREE_0_COEF_0"],
        "sh_rest": rest,
    }


def redrawn(avatar, arrays):
    """The picture of splats that were read, as surfels: the third scale, if any, is their thickness."""
    deformer, appearance = create("deformer", "static"), create("appearance", "sh", {"interval": 0})
    specs = merge_specs(deformer.parameters(), appearance.parameters())
    values = {name: torch.tensor(np.array(arrays[name])) for name in specs}
    values["log_scale"] = values["log_scale"][:, :2].contiguous()
    surfels = Surfels(specs, values, torch.full((len(values["offset"]),), -1), None)
    made = Avatar(
        surfels, create("rig", "none"), deformer, appearance, avatar.rasterizer, {}, avatar.background
    )
    return made.render(cameras(), {}).output.rgb


READERS = {
    "2dgs": (Splats2dgs, "x.ply", ply_splats),
    "3dgs": (Splats3dgs, "x.ply", ply_splats),
    "gltf": (Gltf, "x.glb", glb_splats),
}


@pytest.mark.parametrize("layout", READERS)
@pytest.mark.parametrize("name", ["ict_avatar", "static_avatar"])
def test_splats_read_elsewhere_draw_the_same_picture(name, layout, request, tmp_path):
    avatar = request.getfixturevalue(name)
    timestep = 2 if avatar.motion else None
    cls, file, read = READERS[layout]
    cls().write(avatar, tmp_path / file, timestep=timestep)
    ours = avatar.render(cameras(), timestep or 0).output.rgb
    assert float((ours - 1).abs().max()) > 0.2, "the picture shows nothing"
    assert float((ours - redrawn(avatar, read(tmp_path / file))).abs().max()) < 1 / 255


def test_gltf_attributes_are_what_the_extension_wants(ict_avatar, tmp_path):
    Gltf().write(ict_avatar, tmp_path / "x.glb", timestep=1)
    found, primitive, file = glb_attributes(tmp_path / "x.glb")
    arrays = posed(ict_avatar, 1)
    assert primitive.mode == 0  # points
    assert file.extensionsUsed == ["KHR_gaussian_splatting"]
    assert not file.extensionsRequired  # readers without it show points
    assert primitive.extensions == {
        "KHR_gaussian_splatting": {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}
    }
    rotation, scale = found[f"{PREFIX}ROTATION"], found[f"{PREFIX}SCALE"]
    assert np.allclose(np.linalg.norm(rotation, axis=1), 1, atol=1e-6)
    assert (scale >= 0).all()
    assert np.allclose(scale[:, 2], 1e-6)
    assert np.allclose(scale[:, :2], np.exp(arrays["log_scale"]), rtol=1e-5)
    assert (found[f"{PREFIX}OPACITY"] > 0).all()
    assert (found[f"{PREFIX}OPACITY"] <= 1).all()
    degrees = sorted(name for name in found if "SH_DEGREE" in name)
    assert len(degrees) == 16
    position = file.accessors[primitive.attributes.POSITION]
    assert np.array_equal(position.min, found["POSITION"].min(axis=0))
    assert np.array_equal(position.max, found["POSITION"].max(axis=0))
    linear = found["COLOR_0"][:, :3] / 255
    display = np.clip(0.28209479 * arrays["sh_dc"] + 0.5, 0, 1)
    bright = display > 0.1
    assert np.abs(linear - display**2.2)[bright].max() < 0.02  # sRGB is nearly a power of 2.2


def test_gltf_is_framed_as_glb(ict_avatar, tmp_path):
    Gltf().write(ict_avatar, tmp_path / "x.glb")
    raw = (tmp_path / "x.glb").read_bytes()
    magic, version, length = struct.unpack("<4sII", raw[:12])
    assert (magic, version, length) == (b"glTF", 2, len(raw))
    size, kind = struct.unpack("<I4s", raw[12:20])
    assert kind == b"JSON"
    assert size % 4 == 0
    described = json.loads(raw[20 : 20 + size])
    rest, binary = struct.unpack("<I4s", raw[20 + size : 28 + size])
    assert binary == b"BIN\0"
    assert described["buffers"] == [{"byteLength": rest}]
    assert len(raw) == 28 + size + rest


def test_gltf_leaves_unused_degrees_out(ict_avatar):
    arrays = posed(ict_avatar, 0)
    arrays["sh_rest"] = arrays["sh_rest"].copy()
    arrays["sh_rest"][:, 3:] = 0
    names = [name for name in splat_attributes(arrays) if "SH_DEGREE" in name]
    assert names == [
        f"{PREFIX}SH_DEGREE_0_COEF_0",
        *(f"{PREFIX}SH_DEGREE_1_COEF_{number}" for number in range(3)),
    ]

"""Textures of a rig's mesh against a wavy surface whose colours and normals are known."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from surfhead.core.errors import OptionError, UnknownNameError
from surfhead.core.types import Topology
from surfhead.meshes.surface_mesh import SurfaceMesh
from surfhead.meshes.texture import bake, check_suffix, check_texture
from surfhead.plugins.rigs.skinning import edge_neighbours

SIDE = 0.1  # metres
SIZE = 64  # texels
WAVE = 2 * np.pi / 0.05


def quad(mirrored: bool = False, part: float = 1.0) -> tuple[torch.Tensor, Topology]:
    """A square in the plane z = 0, seen from +z; its texture fills ``part`` of the tile's width."""
    points = torch.tensor([[0.0, 0, 0], [SIDE, 0, 0], [SIDE, SIDE, 0], [0, SIDE, 0]])
    triangles = torch.tensor([[0, 1, 2], [0, 2, 3]])
    uv = points[:, :2] / SIDE
    if mirrored:
        uv = torch.stack([1 - uv[:, 0], uv[:, 1]], dim=1)
    uv = uv * torch.tensor([part, 1.0])
    return points, Topology(triangles, edge_neighbours(triangles), {}, uv=uv[triangles])


def wavy() -> SurfaceMesh:
    """z = 1 mm sin(kx) with red growing along x and green along y."""
    count = 101
    axis = torch.linspace(0, SIDE, count, dtype=torch.float64)
    x, y = torch.meshgrid(axis, axis, indexing="ij")
    points = torch.stack([x, y, 0.001 * torch.sin(WAVE * x)], dim=-1).reshape(-1, 3)
    at = torch.arange(count * count).view(count, count)
    a, b, c, d = at[:-1, :-1], at[1:, :-1], at[1:, 1:], at[:-1, 1:]
    faces = torch.cat([torch.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    colours = torch.stack([x / SIDE, y / SIDE, 0.5 * torch.ones_like(x)], dim=-1).reshape(-1, 3)
    return SurfaceMesh.of(points, faces, (255 * colours).round().to(torch.uint8))


def texels(size: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """u and v of the texels' middles."""
    middle = (np.arange(size) + 0.5) / size
    return np.broadcast_to(middle, (size, size)), np.broadcast_to(middle[::-1, None], (size, size))


@pytest.mark.parametrize("mirrored", [False, True])
def test_colours_and_normals_are_the_surfaces(mirrored: bool) -> None:
    points, topology = quad(mirrored)
    made = bake(wavy(), points, topology, SIZE)
    u, v = texels()
    x = SIDE * (1 - u if mirrored else u)
    exact = np.stack([255 * x / SIDE, 255 * v, np.full_like(u, 127.5)], axis=-1)
    assert np.abs(made.base_colour.astype(float) - exact).max() < 4
    slope = 0.001 * WAVE * np.cos(WAVE * x)
    normal = np.stack([-slope, np.zeros_like(u), np.ones_like(u)], axis=-1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    tangent, sign = made.tangents[0, :3], made.tangents[0, 3]
    assert (made.tangents == made.tangents[0]).all()
    np.testing.assert_allclose(tangent, [-1 if mirrored else 1, 0, 0], atol=1e-6)
    frame = np.stack([tangent, sign * np.cross([0, 0, 1], tangent), [0, 0, 1]])
    np.testing.assert_allclose(frame[1], [0, 1, 0], atol=1e-6)  # +y of the map is along +v
    local = made.normal_map / 127.5 - 1
    found = local / np.linalg.norm(local, axis=-1, keepdims=True) @ frame
    assert np.degrees(np.arccos((found * normal).sum(-1).clip(-1, 1))).max() < 1.5


def test_texels_of_no_triangle_take_the_nearest(tmp_path: Path) -> None:
    points, topology = quad(part=0.5)
    made = bake(wavy(), points, topology, SIZE)
    assert (made.base_colour[:, SIZE // 2 :] == made.base_colour[:, SIZE // 2 - 1 : SIZE // 2]).all()
    half, whole = made.base_colour[:, : SIZE // 2], bake(wavy(), *quad(), SIZE).base_colour
    assert np.abs(half.astype(float) - whole[:, 1::2]).max() < 8


def test_where_the_surface_is_far_the_rig_keeps_its_normals() -> None:
    points, topology = quad()
    made = bake(wavy(), points - torch.tensor([0, 0, 1.0]), topology, 16)
    assert (np.abs(made.normal_map.astype(int) - [128, 128, 255]) <= 1).all()


def test_corners_are_split_only_where_the_texture_is() -> None:
    points, topology = quad()
    assert len(bake(wavy(), points, topology, 16).vertices) == 4
    torn = topology.uv.clone()
    torn[1] *= 0.5
    made = bake(wavy(), points, Topology(topology.triangles, topology.neighbours, {}, uv=torn), 16)
    assert len(made.vertices) == 5  # the corner at the origin of both stays one
    np.testing.assert_allclose(made.vertices[made.triangles], points.numpy()[topology.triangles], atol=1e-7)
    np.testing.assert_allclose(made.uv[made.triangles], torn.numpy(), atol=1e-7)


def test_triangles_of_no_size_in_the_texture_do_no_harm() -> None:
    points, topology = quad()
    flat = topology.uv.clone()
    flat[1] = 0.0
    made = bake(wavy(), points, Topology(topology.triangles, topology.neighbours, {}, uv=flat), 16)
    assert np.isfinite(made.tangents).all()
    np.testing.assert_allclose(np.linalg.norm(made.tangents[:, :3], axis=1), 1, atol=1e-5)


def test_the_file_holds_it(tmp_path: Path) -> None:
    import trimesh

    points, topology = quad()
    made = bake(wavy(), points, topology, SIZE)
    path = made.write(tmp_path / "new" / "head.glb")
    data = path.read_bytes()
    tree = json.loads(data[20 : 20 + struct.unpack("<I", data[12:16])[0]])
    (primitive,) = tree["meshes"][0]["primitives"]
    assert {"POSITION", "NORMAL", "TANGENT", "TEXCOORD_0"} <= set(primitive["attributes"])
    assert tree["accessors"][primitive["attributes"]["TANGENT"]]["type"] == "VEC4"
    (material,) = tree["materials"]
    assert material["pbrMetallicRoughness"]["metallicFactor"] == 0.0
    assert "normalTexture" in material
    read = next(iter(trimesh.load(path).geometry.values()))
    np.testing.assert_allclose(read.vertices[read.faces], points.numpy()[topology.triangles], atol=1e-6)
    np.testing.assert_allclose(read.visual.uv[read.faces], topology.uv.numpy(), atol=1e-6)
    picture = np.asarray(read.visual.material.baseColorTexture.convert("RGB"))
    assert np.array_equal(picture, made.base_colour)  # glTF's first row is at the top, v = 1 here
    assert np.array_equal(np.asarray(read.visual.material.normalTexture.convert("RGB")), made.normal_map)
    assert isinstance(read.visual.material.baseColorTexture, Image.Image)


def test_what_cannot_be_is_refused() -> None:
    _, topology = quad()
    with pytest.raises(UnknownNameError, match=r"\.ply"):
        check_suffix(Path("head.ply"))
    with pytest.raises(OptionError, match="no texture coordinates"):
        check_texture(Topology(topology.triangles, topology.neighbours, {}), "bare", 64)
    with pytest.raises(OptionError, match="no texture coordinates"):
        check_texture(None, "none", 64)
    for size in (8, 100_000):
        with pytest.raises(OptionError, match=f'"texture" is {size}'):
            check_texture(topology, "flat", size)

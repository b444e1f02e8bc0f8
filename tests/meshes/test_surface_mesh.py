"""Meshes that are taken away: parts, smoothing, files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from surfhead.core.errors import OptionError, UnknownNameError
from surfhead.meshes.surface_mesh import SUFFIXES, SurfaceMesh, linear_light


def ball(radius: float = 0.1, centre: float = 0.0, subdivisions: int = 3) -> SurfaceMesh:
    """An icosphere, green, moved along x."""
    made = trimesh.creation.icosphere(subdivisions, radius)
    vertices = torch.from_numpy(np.array(made.vertices)).float() + torch.tensor([centre, 0.0, 0.0])
    colours = torch.tensor([10, 200, 128], dtype=torch.uint8).expand(len(vertices), 3).clone()
    return SurfaceMesh.of(vertices, torch.from_numpy(np.array(made.faces)), colours)


def joined(*parts: SurfaceMesh) -> SurfaceMesh:
    """Several meshes as one."""
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    triangles = [part.triangles + int(start) for part, start in zip(parts, starts, strict=False)]
    colours = torch.cat([part.colours for part in parts if part.colours is not None])
    return SurfaceMesh.of(torch.cat([part.vertices for part in parts]), torch.cat(triangles), colours)


def test_the_parts_of_largest_area_are_kept_whatever_their_number_of_triangles() -> None:
    large, middle, small = ball(0.1, subdivisions=1), ball(0.05, 0.3), ball(0.02, 0.6, 4)
    mesh = joined(small, large, middle)
    one = mesh.largest(1)
    assert torch.equal(one.vertices, large.vertices)
    assert torch.equal(one.triangles, large.triangles)
    assert one.colours is not None
    assert len(one.colours) == len(one.vertices)
    two = mesh.largest(2)
    assert len(two.triangles) == len(large.triangles) + len(middle.triangles)
    assert float(two.vertices[:, 0].max()) == pytest.approx(0.35, abs=1e-3)
    assert mesh.largest(0) is mesh
    assert len(mesh.largest(7).triangles) == len(mesh.triangles)


def test_smoothing_takes_noise_out_and_keeps_the_size_and_open_edges() -> None:
    noise = 0.002 * torch.randn(len(ball().vertices), 3, generator=torch.Generator().manual_seed(0))
    rough = SurfaceMesh.of(ball().vertices + noise, ball().triangles)
    off = [abs(float(v)) for v in (rough.vertices.norm(dim=1) - 0.1).std()[None]]
    smooth = rough.smoothed(20)
    radius = smooth.vertices.norm(dim=1)
    assert float(radius.std()) < 0.5 * off[0]
    assert float(radius.mean()) == pytest.approx(0.1, rel=0.01)
    assert float((smooth.normals * smooth.vertices / radius[:, None]).sum(dim=1).min()) > 0.95
    half = SurfaceMesh.of(
        rough.vertices, rough.triangles[(rough.vertices[rough.triangles][..., 1] > 0).all(1)]
    )
    faces = half.triangles.numpy()
    edges = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    unique, count = np.unique(edges, axis=0, return_counts=True)
    border = np.unique(unique[count == 1])
    assert len(border) > 10
    assert torch.equal(half.smoothed(5).vertices[border], half.vertices[border])
    assert rough.smoothed(0) is rough


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_open_elsewhere_with_normals_colours_and_outward_triangles(suffix: str, tmp_path: Path) -> None:
    mesh = ball()
    path = mesh.write(tmp_path / "new" / f"ball{suffix}")
    back = trimesh.load(path, process=False, force="mesh")
    assert np.allclose(back.vertices, mesh.vertices.numpy(), atol=1e-6)
    assert np.array_equal(back.faces, mesh.triangles.numpy())
    assert back.volume == pytest.approx(4 / 3 * np.pi * 0.1**3, rel=0.02)  # positive: wound outward
    directions = mesh.vertices.numpy() / 0.1
    assert float((back.vertex_normals * directions).sum(axis=1).min()) > 0.99
    colours = np.asarray(back.visual.vertex_colors if suffix != ".glb" else glb_colours(path))[:, :3]
    expected = np.array([10, 200, 128])
    if suffix == ".glb":
        expected = np.array([1, 147, 55])  # linear light of 10, 200 and 128, by the sRGB standard's tables
    assert np.array_equal(colours, np.broadcast_to(expected, colours.shape))


def glb_colours(path: Path) -> np.ndarray:
    """COLOR_0 of a GLB file's only primitive, read without trimesh."""
    import json
    import struct

    data = path.read_bytes()
    length = struct.unpack_from("<I", data, 12)[0]
    tree = json.loads(data[20 : 20 + length])
    binary = data[28 + length :]
    (primitive,) = tree["meshes"][0]["primitives"]
    assert tree["materials"][primitive["material"]]["pbrMetallicRoughness"]["metallicFactor"] == 0.0
    accessor = tree["accessors"][primitive["attributes"]["COLOR_0"]]
    assert (accessor["componentType"], accessor["type"]) == (5121, "VEC4")
    view = tree["bufferViews"][accessor["bufferView"]]
    start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
    return np.frombuffer(binary, np.uint8, 4 * accessor["count"], start).reshape(-1, 4)


def test_linear_light() -> None:
    # values of IEC 61966-2-1: black, the line's end, middle grey, white
    found = linear_light(torch.tensor([0.0, 0.04045, 0.5, 1.0]))
    assert torch.allclose(found, torch.tensor([0.0, 0.0031308, 0.2140411, 1.0]), atol=1e-6)


def test_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r'Unknown mesh file suffix ".stl"'):
        ball().write(tmp_path / "ball.stl")
    nothing = SurfaceMesh.of(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64))
    with pytest.raises(OptionError, match=r'"none.ply" is not written: the mesh has no triangle'):
        nothing.write(tmp_path / "none.ply")
    assert not list(tmp_path.iterdir())
    assert nothing.largest(1) is nothing

"""Tests of the ICT-FaceKit rig: on a small head in its layout, and on the real one where it is at hand."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from surfhead.core.api import DataError, ShapeError, UnknownNameError
from surfhead.plugins.rigs.ict.example import write_example
from surfhead.plugins.rigs.ict.ict import Ict
from surfhead.plugins.rigs.wavefront import read_vertices, read_wavefront

REPOSITORY = Path(__file__).parents[3]
ARCHIVE = Path(os.environ.get("SURFHEAD_ICT", REPOSITORY.parent / "shared/data/ict_facekit.tar.xz"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_example(tmp_path_factory.mktemp("ict"))


@pytest.fixture
def rig(folder):
    made = Ict(Ict.Options(path=str(folder)))
    made.prepare({})
    return made


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    if not ARCHIVE.is_file():
        pytest.skip("the ICT-FaceKit head is not at hand; set SURFHEAD_ICT to its archive")
    target = tmp_path_factory.mktemp("facekit")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(target, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    names = ("jawOpen", "eyeBlink_L", "mouthSmile_R")
    made = Ict(Ict.Options(path=str(target / "ict_facekit"), expressions=names))
    made.prepare({})
    return made


def corners(mesh, region):
    topology = mesh.topology
    vertices = mesh.vertices if mesh.vertices.ndim == 2 else mesh.vertices[0]
    return vertices[topology.triangles[topology.regions[region]].unique()]


def test_the_head_is_in_metres_with_triangulated_quads_and_texture(rig, folder):
    source = read_vertices(folder / "FaceXModel" / "generic_neutral_mesh.obj")
    rest = rig.rest()
    assert rest.vertices.shape[0] < len(source)  # the lashes are gone
    assert np.allclose(rest.vertices.numpy(), source[: len(rest.vertices)] * 0.01, atol=1e-8)
    mesh = read_wavefront(folder / "FaceXModel" / "generic_neutral_mesh.obj")
    quads = [
        line
        for line in (folder / "FaceXModel" / "generic_neutral_mesh.obj").read_text().splitlines()
        if line.startswith("f ") and len(line.split()) == 5
    ]
    first = [int(word.split("/")[0]) - 1 for word in quads[0].split()[1:]]
    row = next(i for i, t in enumerate(mesh.triangles.tolist()) if t == first[:3])
    assert mesh.triangles[row + 1].tolist() == [first[0], first[2], first[3]]
    assert rest.topology.uv.shape == (len(rest.topology.triangles), 3, 2)


def test_expressions_move_by_their_shapes(rig, folder):
    names = rig.expressions()
    assert names == ("browInnerUp_L", "jawOpen", "mouthSmile_L")
    full = torch.zeros(2, 3)
    full[0, 1], full[1, 1], full[1, 2] = 1, 0.5, 1
    posed = rig({"expression": full}).vertices.double().numpy()
    count = posed.shape[1]
    load = lambda name: read_vertices(folder / "FaceXModel" / f"{name}.obj")[:count] * 0.01  # noqa: E731
    neutral, jaw, smile = load("generic_neutral_mesh"), load("jawOpen"), load("mouthSmile_L")
    assert np.abs(posed[0] - jaw).max() < 1e-7
    assert np.abs(posed[1] - (jaw + neutral) / 2 - (smile - neutral)).max() < 1e-7


def test_identities_add_up_and_move_the_eye_centres(rig, folder):
    plain = rig._assets["joints"].clone()
    shaped = rig.prepare({"shape": torch.tensor([1.0, 0.5])}).vertices.double().numpy()
    count = len(shaped)
    load = lambda name: read_vertices(folder / "FaceXModel" / f"{name}.obj")[:count] * 0.01  # noqa: E731
    neutral = load("generic_neutral_mesh")
    expected = load("identity000") + 0.5 * (load("identity001") - neutral)
    assert np.abs(shaped - expected).max() < 1e-7
    assert float((rig._assets["joints"] - plain)[2:].norm(dim=1).min()) > 1e-4
    with pytest.raises(ShapeError, match="shape"):
        rig.prepare({"shape": torch.zeros(3)})


def test_eyeballs_turn_about_their_centres_and_nothing_else_moves(rig):
    rest = rig.rest()
    eyes = torch.tensor([[0.0, 0.4, 0, 0, -0.3, 0]])
    posed = rig({"eyes": eyes})
    turned = (posed.vertices[0] - rest.vertices).norm(dim=1) > 1e-7
    inside = torch.zeros(len(rest.vertices), dtype=torch.bool)
    inside[rest.topology.triangles[rest.topology.regions["eyeballs"]].unique()] = True
    assert not bool((turned & ~inside).any())
    # the example's sclerae are exact spheres: centres and radii must stay
    for side, x in (("left_sclera", 3.1), ("right_sclera", -3.1)):
        centre = torch.tensor([x, 3.6, 6.5]) * 0.01
        radius = (corners(posed, side) - centre).norm(dim=1)
        assert torch.allclose(radius, torch.full_like(radius, 0.015), atol=1e-6)
        assert float((corners(posed, side) - corners(rest, side)).norm(dim=1).max()) > 1e-3


def test_the_head_turns_rigidly_above_the_neck_and_the_rim_stays(rig):
    rest = rig.rest()
    posed = rig({"neck": torch.tensor([[0.3, 0.5, 0.0]])}).vertices[0]
    weights = rig._assets["weights"]
    rim = weights[:, 0] == 1
    assert int(rim.sum()) >= 24
    assert torch.allclose(posed[rim], rest.vertices[rim], atol=1e-7)
    rigid = weights[:, 1] == 1
    before, after = rest.vertices[rigid].double(), posed[rigid].double()
    assert torch.allclose(torch.cdist(after, after), torch.cdist(before, before), atol=1e-6)
    boundary = rest.topology.triangles[rest.topology.regions["boundary"]].unique()
    assert bool((weights[boundary, 0] > 0.5).all())


def test_root_rotation_and_translation_are_rigid(rig):
    rest = rig.rest().vertices.double()
    parameters = {"rotation": torch.tensor([[0.0, 3, 0]]), "translation": torch.tensor([[1.0, 2, 3]])}
    posed = rig(parameters).vertices[0].double()
    assert torch.allclose(torch.cdist(posed, posed), torch.cdist(rest, rest), atol=1e-6)
    assert float((posed.mean(0) - rest.mean(0)).norm()) > 3


def test_regions_come_from_materials_and_accessories_are_left_out(rig, folder):
    regions = rig.rest().topology.regions
    parts = sum(
        regions[name].int() for name in ("face", "back_head", "teeth", "left_eyeball", "right_eyeball")
    )
    assert bool((parts == 1).all())
    assert "lashes" not in regions
    full = Ict(Ict.Options(path=str(folder), accessories=True)).prepare({})
    assert int(full.topology.regions["lashes"].sum()) > 0
    assert len(full.topology.triangles) == len(parts) + int(full.topology.regions["lashes"].sum())


def test_import_to_safetensors_gives_the_same_rig(rig, tmp_path):
    path = rig.pack(tmp_path / "ict.safetensors")
    imported = Ict(Ict.Options(path=str(path)))
    shape = {"shape": torch.tensor([0.3, 0.7])}
    assert torch.equal(imported.prepare(shape).vertices, rig.prepare(shape).vertices)
    assert imported.fingerprint() == rig.fingerprint()
    only = Ict(Ict.Options(path=str(path), expressions=("jawOpen",)))
    only.prepare(shape)
    all_jaw = torch.tensor([[0.0, 1, 0]])
    assert torch.equal(only({"expression": torch.ones(1, 1)}).vertices, rig({"expression": all_jaw}).vertices)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match="ict.safetensors"):
        Ict(Ict.Options(path=str(path))).prepare({})


def test_damage_is_named(folder, tmp_path):
    with pytest.raises(DataError, match="no folder"):
        Ict().prepare({})
    with pytest.raises(DataError, match="generic_neutral_mesh.obj"):
        Ict(Ict.Options(path=str(tmp_path))).prepare({})
    with pytest.raises(DataError, match='"jawOpem".*Did you mean "jawOpen"'):
        Ict(Ict.Options(path=str(folder), expressions=("jawOpem",))).prepare({})
    own = write_example(tmp_path / "own") / "FaceXModel"
    text = (own / "jawOpen.obj").read_text()
    for damage in (text[:500], text.replace("v 0", "v x", 1), text.replace("v 0", "v nan", 1), ""):
        (own / "jawOpen.obj").write_text(damage)
        with pytest.raises(DataError, match="jawOpen.obj"):
            Ict(Ict.Options(path=str(own))).prepare({})
    (own / "vertex_indices.json").write_text("{}")
    with pytest.raises(DataError, match="vertex_indices.json"):
        Ict(Ict.Options(path=str(own))).prepare({})
    (own / "generic_neutral_mesh.obj").write_text(text.replace("f 1/", "f 99999/", 1))
    with pytest.raises(DataError, match="generic_neutral_mesh.obj"):
        Ict(Ict.Options(path=str(own))).prepare({})


def test_unknown_names_are_declared_errors(rig):
    with pytest.raises(UnknownNameError, match="jaw"):
        rig({"jaw": torch.zeros(1, 3)})
    with pytest.raises(ShapeError, match="expression"):
        rig({"expression": torch.zeros(1, 50)})


def test_the_real_head_has_its_published_size_and_parts(real):
    rest = real.rest()
    assert len(rest.vertices) == 24591  # 26719 less the accessories
    assert rest.vertices.min(0).values.tolist() == pytest.approx([-0.124162, -0.193084, -0.0923216])
    assert len(rest.topology.triangles) == 48836
    assert int(rest.topology.regions["boundary"].sum()) == 110
    neighbours = rest.topology.neighbours
    open_edges = (neighbours == torch.arange(len(neighbours))[:, None]).sum()
    assert int(open_edges) < 2000
    jaw = torch.tensor([[1.0, 0, 0]])
    drop = (real({"expression": jaw}).vertices[0] - rest.vertices)[:, 1].min()
    assert -0.04 < float(drop) < -0.03


def test_the_real_eyes_stay_in_their_sockets(real):
    rest = real.rest()
    posed = real({"eyes": torch.tensor([[0.0, 0.4, 0.0, 0.0, 0.4, 0.0]])})
    for side in ("left_sclera", "right_sclera"):
        moved = corners(posed, side).mean(0) - corners(rest, side).mean(0)
        assert float(moved.norm()) < 0.003


@pytest.mark.parametrize(
    ("name", "content", "said", "remedy"),
    [
        ("ict.safetensors.xz", b"\xfd7zXZ\0" + bytes(600), ": it is a packed archive.", "unpack it first"),
        ("ict.safetensors", b"\xfd7zXZ\0" + bytes(600), ": it is a packed archive.", "unpack it first"),
        (
            "ict.tar",
            b"FaceXModel/".ljust(257, b"\0") + b"ustar" + bytes(600),
            ": it is a tar archive.",
            "unpack",
        ),
        ("web.task", b"PK\x03\x04" + bytes(600), ": it is a zip archive.", "unpack it first"),
        ("ict", b"<!DOCTYPE html><html>", ": it is a web page", "https://github.com/ICT-VGL/ICT-FaceKit"),
        ("ict.task", bytes(600), "no FaceXModel folder.", "https://github.com/ICT-VGL/ICT-FaceKit"),
        ("ict.tensors", bytes(8) + b"{}", "but not its name", 'Call it "ict.tensors.safetensors"'),
    ],
)
def test_a_file_that_is_no_head_is_told_by_what_it_is(tmp_path, name, content, said, remedy):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        Ict(Ict.Options(path=str(path))).prepare({})
    assert str(path) in caught.value.what
    assert said in caught.value.what
    assert remedy in caught.value.remedy


def test_the_repositorys_folder_is_as_good_as_the_one_in_it(folder):
    whole, inside = (Ict(Ict.Options(path=str(path))) for path in (folder, folder / "FaceXModel"))
    assert whole.fingerprint() == inside.fingerprint()
    assert np.array_equal(whole.model().template, inside.model().template)

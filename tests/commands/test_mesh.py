"""`surfhead mesh`, and the geometry of `surfhead eval`."""

from __future__ import annotations

import csv
import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import cKDTree

from surfhead.data.feed import cameras_of
from surfhead.data.opening import open_scene
from surfhead.meshes import surface_metrics
from surfhead.meshes.meshcaster import MeshCaster
from surfhead.results import geometry_evaluation
from surfhead.runs.run import load_avatar, read_config
from tests.commands.conftest import Surfhead

QUICK = ("--voxel-mm", "5", "--views", "8", "--size", "64", "--device", "cpu")


@pytest.fixture
def head(surfhead: Surfhead, trained_run: Path, tmp_path: Path) -> Surfhead:
    """The command line, where ``head`` holds a run of the built-in head."""
    shutil.copytree(trained_run, tmp_path / "head")
    return surfhead


def valid(path: str) -> trimesh.Trimesh:
    """A mesh file that opens, is finite, has colours, and is wound outward."""
    mesh = trimesh.load(path, process=False, force="mesh")
    assert len(mesh.faces) > 500
    assert np.isfinite(mesh.vertices).all()
    assert np.isfinite(mesh.vertex_normals).all()
    assert mesh.volume > 0.001  # a litre or more of a head, positive where triangles face outward
    return mesh


def test_a_timestep_and_the_rest_pose_in_each_kind_of_file(head: Surfhead) -> None:
    said = head("mesh", "head", *QUICK)
    assert said.code == 0, said.err
    assert said.out.startswith("Wrote head/mesh/timestep-00000.ply: ")
    mesh = valid("head/mesh/timestep-00000.ply")
    assert mesh.visual.kind == "vertex"
    # it lies about the rig's mesh: nine in ten vertices within a voxel or two
    rest = load_avatar("head", device="cpu").rig.rest()
    corners = rest.vertices[rest.topology.triangles]
    shares = torch.tensor([[1, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1]], dtype=torch.float32)
    surface = ((shares / shares.sum(dim=1, keepdim=True)) @ corners).reshape(-1, 3)
    near, _ = cKDTree(surface.numpy()).query(np.asarray(mesh.vertices))
    assert float(np.quantile(near, 0.9)) < 0.01
    for suffix in ("obj", "glb"):
        said = head("mesh", "head", "--canonical", "--cameras", "around", "--out", f"rest.{suffix}", *QUICK)
        assert said.code == 0, said.err
        valid(f"rest.{suffix}")


def test_a_motion_gives_a_mesh_a_timestep_and_says_how_fast(head: Surfhead) -> None:
    avatar = load_avatar("head", device="cpu")
    rows = {name: np.zeros((5, value.shape[1]), np.float32) for name, value in avatar.motion.items()}
    rows["translation"][:, 0] = np.linspace(0.0, 0.2, 5)
    with Path("walk.npz").open("wb") as file:
        np.savez(file, **rows)
    said = head("mesh", "head", "--motion", "walk.npz", "--stride", "2", "--out", "walk/head.ply", *QUICK)
    assert said.code == 0, said.err
    assert "Wrote 3 meshes, the last walk/head-00004.ply; " in said.out
    assert " meshes a second on cpu" in said.out
    names = sorted(path.name for path in Path("walk").iterdir())
    assert names == ["head-00000.ply", "head-00002.ply", "head-00004.ply"]
    middles = [valid(f"walk/{name}").vertices.mean(axis=0)[0] for name in names]
    assert np.diff(middles) == pytest.approx([0.1, 0.1], abs=0.004)


def test_a_run_whose_data_are_gone_is_meshed_from_around(head: Surfhead) -> None:
    config = Path("head/config.toml")
    config.write_text(config.read_text().replace('path = ""', 'path = "/nowhere/data"'))
    text = config.read_text().replace('name = "synthetic"', 'name = "vhap"')
    lines = [line for line in text.splitlines() if line.split(" = ")[0] not in DATA_OPTIONS]
    config.write_text("\n".join(lines))
    said = head("mesh", "head", *QUICK)
    assert said.code == 0, said.err
    assert "only cameras round the head are used" in said.err
    said = head("mesh", "head", "--cameras", "training", *QUICK)
    assert said.code == 2


DATA_OPTIONS = {"width", "height", "timesteps", "test_timesteps", "cameras"}
ERRORS = {
    "two poses": (
        ("--timestep", "1", "--canonical"),
        "More than one of --timestep, --canonical and --motion is given.",
    ),
    "timestep": (("--timestep", "99"), "Timestep 99 is outside the avatar's motion."),
    "box": (("--box", "1,2,3"), "\"box\" is '1,2,3'."),
    "voxel": (("--voxel-mm", "0"), '"voxel" is 0.0.'),
    "stride": (("--stride", "0"), '"stride" is 0.'),
    "suffix": (("--out", "head.stl"), 'Unknown mesh file suffix ".stl". Did you mean ".ply"?'),
    "motion": (("--motion", "nowhere"), 'Driver "nowhere" does not exist.'),
    "empty box": (("--box=1,1,1,1.1,1.1,1.1",), "No surface was found."),
}


@pytest.mark.parametrize("case", ERRORS)
def test_bad_options(head: Surfhead, case: str) -> None:
    arguments, message = ERRORS[case]
    said = head("mesh", "head", "--cameras", "around", "--views", "2", "--size", "32", *arguments)
    assert said.code == 2
    assert said.err.splitlines()[0] == message


def test_eval_measures_the_mesh_and_the_rig_against_the_true_surface(
    head: Surfhead, monkeypatch: pytest.MonkeyPatch
) -> None:
    coarse = partial(geometry_evaluation.MeshSettings, voxel=0.003, views=12, size=128)
    monkeypatch.setattr(geometry_evaluation, "MeshSettings", coarse)
    few = partial(surface_metrics.compare_surfaces, samples=8000)
    monkeypatch.setattr(geometry_evaluation, "compare_surfaces", few)
    monkeypatch.setattr(surface_metrics, "SAMPLES", 8000)
    said = head("eval", "head", "--split", "val", "--limit", "1", "--geometry", "1", "--out", "figures")
    assert said.code == 0, said.err
    assert "Surfaces against the true one" in said.out
    assert "Chamfer: mean of accuracy and completeness, mm" in " ".join(said.out.split())
    document = json.loads(Path("figures/geometry.json").read_text())
    rows = {row["surface"]: row for row in document["rows"]}
    assert set(rows) == {"mesh", "rig mesh", "splats", "median depth", "expected depth"}
    # the true surface is the rig's with up to a few millimetres of relief and hair
    assert 0.5 < rows["rig mesh"]["chamfer_mm"] < 3.0
    assert rows["rig mesh"]["f_score_5mm"] > 0.9
    assert rows["mesh"]["chamfer_mm"] < 20.0
    assert all(0.0 < row["normal_error_deg"] < 90.0 for row in rows.values())
    assert rows["mesh"]["chamfer_mm"] == pytest.approx(
        (rows["mesh"]["accuracy_mm"] + rows["mesh"]["completeness_mm"]) / 2
    )
    with Path("figures/geometry.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 5


def test_the_true_surface_of_the_built_in_head_is_what_its_pictures_show(head: Surfhead) -> None:
    scene = open_scene(read_config(Path("head"))).scene
    view = int(scene.views.of("test")[0])
    vertices, triangles = scene.true_mesh(int(scene.views.timestep[view])) or ((), ())
    hits = MeshCaster(vertices, triangles).cast(cameras_of(scene, [view], "cpu"))
    frame = scene.frame(view)
    assert frame.depth is not None
    both = hits.mask[0].numpy() & (frame.depth > 0)
    assert both.mean() > 0.2
    # a picture's depth is the mean over four rays of a pixel of 6 mm, so it differs by the surface's bend
    assert float(np.median(np.abs(hits.depth[0].numpy() - frame.depth)[both])) < 3e-4
    assert float(((hits.normal[0].numpy() * frame.normal).sum(axis=-1))[both].mean()) > 0.8


def test_data_without_a_true_surface_say_so(train_tiny: Surfhead, surfhead: Surfhead) -> None:
    assert train_tiny("--quiet").code == 0
    said = surfhead("eval", "run", "--geometry", "1", "--device", "cpu")
    assert said.code == 2
    assert said.err.splitlines()[0] == "The data know no true surface."


def test_a_texture_of_the_rigs_own_mesh(head: Surfhead) -> None:
    said = head("mesh", "head", "--canonical", "--texture", "128", "--cameras", "around", *QUICK)
    assert said.code == 0, said.err
    assert said.out.startswith("Wrote head/mesh/canonical.glb: ")
    (mesh,) = trimesh.load("head/mesh/canonical.glb").geometry.values()
    rest = load_avatar("head", device="cpu").rig.rest()
    assert len(mesh.faces) == len(rest.topology.triangles)
    corners = rest.vertices[rest.topology.triangles].numpy()
    np.testing.assert_allclose(mesh.vertices[mesh.faces], corners, atol=1e-6)
    base = np.asarray(mesh.visual.material.baseColorTexture.convert("RGB"))
    assert base.shape == (128, 128, 3)
    assert base.std(axis=(0, 1)).min() > 5  # it shows something
    bumps = np.asarray(mesh.visual.material.normalTexture.convert("RGB")) / 127.5 - 1
    assert np.abs(np.linalg.norm(bumps, axis=-1) - 1).max() < 0.02
    assert (bumps[..., 2] > 0.5).mean() > 0.8  # mostly as the rig's mesh


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("--texture", "64", "--out", "a.ply"), ".glb"),
        (("--texture", "4"), '"texture" is 4'),
        (("--texture", "-1"), '"texture" is -1'),
    ],
)
def test_textures_that_cannot_be(head: Surfhead, given: tuple[str, ...], expected: str) -> None:
    said = head("mesh", "head", *given, *QUICK)
    assert said.code == 2
    assert expected in said.err

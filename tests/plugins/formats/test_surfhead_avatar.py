"""Tests of surfhead's own avatar files, and of taking over SurFhead's and GaussianAvatars'."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
import torch

from surfhead.avatars.surface import seen_head_on
from surfhead.avatars.surfels import apply_field
from surfhead.core.api import DataError
from surfhead.meshes import ply
from surfhead.plugins.formats.axes import to_gaussian_avatars
from surfhead.plugins.formats.gaussian_avatars import GaussianAvatars
from surfhead.plugins.formats.motion import Motion
from surfhead.plugins.formats.point_cloud import CONSTANT, read_points, write_points
from surfhead.plugins.formats.surfhead_avatar import SurfheadAvatar

COUNT = 12


def local_surfels(scales=2, **extra):
    generator = np.random.default_rng(0)
    shapes = {"offset": (3,), "log_scale": (scales,), "quaternion": (4,), "opacity": (), "sh_dc": (3,)}
    shapes |= {"sh_rest": (15, 3), **extra}
    made = {name: generator.standard_normal((COUNT, *shape), np.float32) for name, shape in shapes.items()}
    return made | {"triangle": np.arange(COUNT) * 3}


def flame_params(frames=4, expressions=100):
    generator = np.random.default_rng(1)
    sizes = {"rotation": 3, "neck_pose": 3, "jaw_pose": 3, "eyes_pose": 6, "translation": 3}
    fields = {name: generator.normal(size=(frames, size)) for name, size in sizes.items()}
    fields["expr"] = generator.normal(size=(frames, expressions))
    return {name: value.astype(np.float32) for name, value in fields.items()} | {
        "shape": np.linspace(-1, 1, 300, dtype=np.float32),
        "static_offset": generator.normal(size=(1, 5143, 3)).astype(np.float32),
        "dynamic_offset": np.zeros((frames, 5143, 3), np.float32),
    }


def specular_network(model):
    """A state dictionary of the sizes of a model, its numbers those of the places they stand at."""
    outputs, inputs, channels = {"lasg": (64, 48, 1), "asg": (128, 80, 3), "sg": (96, 80, 3)}[model]
    made = {}
    for name, rows, columns in (
        ("b.0", 128, inputs), ("a", outputs, 24), ("b.2", 128, 128), ("b.4", channels, 128),
    ):  # fmt: skip
        made[f"{name}.weight"] = torch.arange(rows * columns, dtype=torch.float64).reshape(rows, columns)
        made[f"{name}.bias"] = -torch.arange(rows, dtype=torch.float64)
    return made


@pytest.fixture
def surfhead_run(tmp_path):
    """A run of SurFhead: two saved iterations, and the specular network of the later one."""
    for iteration in (7000, 30000):
        folder = tmp_path / "run" / "point_cloud" / f"iteration_{iteration}"
        folder.mkdir(parents=True)
        arrays = local_surfels(blend=(4,), specular=(24,))
        arrays["opacity"] += iteration
        write_points(folder / "point_cloud.ply", arrays)
        np.savez(folder / "flame_param.npz", **flame_params())
    network = tmp_path / "run" / "specular" / "iteration_30000"
    network.mkdir(parents=True)
    torch.save(specular_network("lasg"), network / "specular.pth")
    return tmp_path / "run"


@pytest.mark.parametrize("name", ["flame_avatar", "ict_avatar", "lit_avatar", "static_avatar"])
def test_our_own_files_give_everything_back_to_the_bit(name, request, tmp_path):
    avatar = request.getfixturevalue(name)
    files = SurfheadAvatar().write(avatar, tmp_path / "out")
    assert all(file.is_file() for file in files)
    assert (tmp_path / "out" / "flame_param.npz").is_file() == (name == "flame_avatar")
    stored = SurfheadAvatar().read(tmp_path / "out")
    assert stored.parameters.keys() == avatar.surfels.parameters.keys()
    for key, value in avatar.surfels.parameters.items():
        assert stored.parameters[key].tobytes() == value.detach().numpy().tobytes(), key
    assert np.array_equal(stored.triangle, avatar.surfels.triangle.numpy())
    for group in ("motion", "identity"):
        ours, theirs = getattr(avatar, group), getattr(stored, group)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    network = avatar.appearance.network()
    state = {} if network is None else network.state_dict()
    assert stored.network.keys() == state.keys()
    assert all(torch.equal(stored.network[key], state[key]) for key in state)
    assert stored.components["deformer"]["name"] == avatar.deformer.name
    assert (stored.rig, stored.background, stored.images) == (avatar.rig.name, (1.0, 1.0, 1.0), 10**6)
    assert stored.rig_options.get("path", "") == getattr(avatar.rig.options, "path", "")


def test_a_surfhead_run_is_taken_over_from_its_newest_iteration(surfhead_run):
    stored = SurfheadAvatar().read(surfhead_run)
    arrays = local_surfels(blend=(4,), specular=(24,))
    for name in ("offset", "log_scale", "quaternion", "sh_rest", "blend", "specular"):
        assert np.array_equal(stored.parameters[name], arrays[name]), name
    assert np.array_equal(stored.parameters["opacity"], arrays["opacity"] + 30000)
    assert np.array_equal(stored.triangle, arrays["triangle"])
    fields = flame_params()
    assert np.array_equal(stored.motion["jaw"].numpy(), fields["jaw_pose"])
    assert np.array_equal(stored.motion["expression"].numpy(), fields["expr"])
    assert "dynamic_offset" not in stored.motion
    assert np.array_equal(stored.identity["static_offset"].numpy(), fields["static_offset"][0])
    assert torch.equal(stored.network["perceptron.2.weight"], specular_network("lasg")["b.2.weight"].float())
    assert stored.rig == "flame"
    assert stored.components["deformer"] == {"name": "jbs", "options": {"rotation_blend": "paper"}}
    assert stored.components["appearance"] == {
        "name": "lasg",
        "options": {"start": 0, "interval": 0, "lobe_grid": "published", "region": "eyeballs"},
    }
    assert (stored.background, stored.notes) == ((1.0, 1.0, 1.0), ())


def test_gaussian_avatars_files_are_converted_and_say_so(tmp_path):
    arrays = local_surfels()
    theirs = dict(arrays)
    theirs["offset"], theirs["quaternion"] = to_gaussian_avatars(arrays["offset"], arrays["quaternion"])
    thin = np.full((COUNT, 1), -20, np.float32)
    theirs["log_scale"] = np.concatenate([arrays["log_scale"], thin], axis=1)
    write_points(tmp_path / "point_cloud.ply", theirs)
    np.savez(tmp_path / "flame_param.npz", **flame_params(expressions=50))
    stored = SurfheadAvatar().read(tmp_path / "point_cloud.ply")
    assert np.array_equal(stored.parameters["offset"], arrays["offset"])
    assert np.array_equal(stored.parameters["log_scale"], arrays["log_scale"])
    assert np.allclose(stored.parameters["quaternion"], arrays["quaternion"], atol=1e-6)
    assert stored.motion["expression"].shape == (4, 100)
    assert stored.components["deformer"]["name"] == "similarity"
    assert any("extent is dropped" in note for note in stored.notes)
    assert any("frame was converted" in note for note in stored.notes)


def test_gaussian_avatars_export_is_what_its_import_undoes(flame_avatar, tmp_path):
    files = GaussianAvatars().write(flame_avatar, tmp_path / "point_cloud.ply")
    assert [file.name for file in files] == ["point_cloud.ply", "flame_param.npz"]
    raw, _ = read_points(tmp_path / "point_cloud.ply")
    assert raw["log_scale"].shape[1] == 3
    stored = SurfheadAvatar().read(tmp_path)
    for name in ("offset", "log_scale", "opacity", "sh_dc", "sh_rest"):
        ours = flame_avatar.surfels.parameters[name].detach().numpy()
        assert np.array_equal(stored.parameters[name], ours), name
    ours = flame_avatar.surfels.parameters["quaternion"].detach().numpy()
    assert np.allclose(stored.parameters["quaternion"], ours, atol=1e-6)
    assert torch.equal(stored.motion["jaw"], flame_avatar.motion["jaw"])


def test_light_is_baked_for_gaussian_avatars(lit_avatar, tmp_path):
    GaussianAvatars().write(lit_avatar, tmp_path / "point_cloud.ply")
    stored = SurfheadAvatar().read(tmp_path)
    binding = lit_avatar.surfels.binding()
    mesh = lit_avatar.rig(lit_avatar.poses(torch.tensor([0])))
    field = lit_avatar.deformer(mesh, binding)
    with torch.no_grad():
        shown = seen_head_on(
            lit_avatar.appearance, binding, apply_field(field, binding), field.rotation, mesh.rest
        )
    assert shown.std() > 0.05
    assert np.allclose(0.5 + CONSTANT * stored.parameters["sh_dc"], shown.numpy(), atol=1e-5)
    assert not stored.parameters["sh_rest"].any()
    assert "albedo" not in stored.parameters


def test_a_static_avatar_is_no_gaussian_avatar(static_avatar, tmp_path):
    with pytest.raises(DataError, match="no triangles"):
        GaussianAvatars().write(static_avatar, tmp_path / "x.ply")


def test_missing_companions_are_noted(surfhead_run):
    folder = surfhead_run / "point_cloud" / "iteration_30000"
    (surfhead_run / "specular" / "iteration_30000" / "specular.pth").unlink()
    (folder / "flame_param.npz").unlink()
    stored = SurfheadAvatar().read(surfhead_run)
    assert stored.components["appearance"]["name"] == "sh"
    assert "specular" not in stored.parameters
    assert not stored.motion
    assert len(stored.notes) == 2


def test_a_specular_network_that_would_run_code_is_refused(surfhead_run, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'marker'}",)

    path = surfhead_run / "specular" / "iteration_30000" / "specular.pth"
    for damage in (pickle.dumps(Evil()), b"", b"text", pickle.dumps([1])):
        path.write_bytes(damage)
        with pytest.raises(DataError, match=r"specular\.pth"):
            SurfheadAvatar().read(surfhead_run)
    torch.save([Evil()], path)
    with pytest.raises(DataError, match=r"specular\.pth"):
        SurfheadAvatar().read(surfhead_run)
    assert not (tmp_path / "marker").exists()


def test_wrong_companions_are_named(surfhead_run, flame_avatar, tmp_path):
    with pytest.raises(DataError, match="no avatar"):
        SurfheadAvatar().read(tmp_path)
    tracked = surfhead_run / "point_cloud" / "iteration_30000" / "flame_param.npz"
    for change in (
        {"jaw_pose": np.zeros((4, 2))},
        {"jaw_pose": np.zeros((3, 3))},
        {"expr": np.full((4, 100), np.nan)},
        {"expr": np.zeros((4, 101))},
        {"shape": np.zeros(301)},
        {"static_offset": np.zeros(4)},
        {"rotation": np.zeros(3)},
    ):
        np.savez(tracked, **{**flame_params(), **change})
        with pytest.raises(DataError, match=r"flame_param\.npz"):
            SurfheadAvatar().read(surfhead_run)
    out = tmp_path / "out"
    SurfheadAvatar().write(flame_avatar, out)
    for name in ("point_cloud.json", "point_cloud.safetensors"):
        good = (out / name).read_bytes()
        for damage in (b"", good[:50], b"{}"):
            (out / name).write_bytes(damage)
            with pytest.raises(DataError, match=name):
                SurfheadAvatar().read(out)
        (out / name).write_bytes(good)


def test_surfels_that_cannot_be_drawn_are_left_out_and_counted(surfhead_run):
    path = surfhead_run / "point_cloud" / "iteration_30000" / "point_cloud.ply"
    arrays = local_surfels()
    arrays["quaternion"][3, 1] = np.nan
    arrays["offset"][5, 0] = np.inf
    arrays["quaternion"][6] = 0
    arrays["opacity"][:2] = [np.inf, -np.inf]
    arrays["log_scale"][4, 1] = -np.inf
    write_points(path, arrays)
    stored = SurfheadAvatar().read(surfhead_run)
    kept = [0, 1, 2, 4, 7, 8, 9, 10, 11]
    assert np.array_equal(stored.triangle, arrays["triangle"][kept])
    assert np.array_equal(stored.parameters["offset"], arrays["offset"][kept])
    assert stored.parameters["opacity"][:3].tolist() == [15, -15, arrays["opacity"][2]]
    assert stored.parameters["log_scale"][3, 1] == -20
    assert stored.notes[:4] == (
        "1 scales were 0.",
        "2 opacities were infinite and became 15 or -15.",
        "2 of 12 surfels held NaN or infinity and are left out.",
        "1 of 12 surfels had a rotation of zero and are left out.",
    )
    arrays["offset"][:] = np.nan
    write_points(path, arrays)
    with pytest.raises(DataError, match=r"point_cloud\.ply.*no surfel that can be drawn"):
        SurfheadAvatar().read(surfhead_run)


def coloured(path, colours, kind):
    """A cloud with red, green and blue where harmonics would be."""
    arrays = local_surfels(scales=3)
    del arrays["sh_dc"], arrays["sh_rest"], arrays["triangle"]
    write_points(path, {**arrays, "sh_dc": np.zeros((COUNT, 3), np.float32)})
    rows = ply.read_ply(path).rows
    names = [name for name in rows.dtype.names if not name.startswith("f_dc")]
    made = np.empty(COUNT, [(n, "<f4") for n in names] + [(n, kind) for n in ("red", "green", "blue")])
    for name in names:
        made[name] = rows[name]
    for at, name in enumerate(("red", "green", "blue")):
        made[name] = colours[at]
    ply.write_ply(path, made)


@pytest.mark.parametrize(("kind", "colours"), [("u1", (0, 51, 255)), ("<f4", (0.0, 0.2, 1.0))])
def test_colours_stand_in_for_harmonics(tmp_path, kind, colours):
    coloured(tmp_path / "x.ply", colours, kind)
    found = SurfheadAvatar().read(tmp_path / "x.ply").parameters["sh_dc"]
    assert np.abs(0.5 + 0.28209479177387814 * found - [0, 0.2, 1]).max() < 1e-6


def test_compressed_files_are_named(tmp_path):
    rows = np.zeros(4, [(f"packed_{name}", "<u4") for name in ("position", "rotation", "scale", "color")])
    ply.write_ply(tmp_path / "x.compressed.ply", rows)
    with pytest.raises(DataError, match=r"x\.compressed\.ply.*compressed one.*SuperSplat[\s\S]*uncompressed"):
        SurfheadAvatar().read(tmp_path / "x.compressed.ply")


def test_a_motion_file_of_any_length_is_padded_and_may_hold_single_rows(tmp_path, ict_avatar, flame_avatar):
    fields = flame_params(7, 50)
    fields["translation"] = fields["translation"][:1]
    np.savez(tmp_path / "m.npz", **fields)
    motion = Motion().read(tmp_path / "m.npz").parameters
    assert {name: tuple(value.shape) for name, value in motion.items()} == {
        "rotation": (7, 3), "neck": (7, 3), "jaw": (7, 3), "eyes": (7, 6), "translation": (7, 3),
        "expression": (7, 100),
    }  # fmt: skip
    assert np.array_equal(motion["expression"][:, :50].numpy(), fields["expr"])
    for avatar in (ict_avatar, flame_avatar):
        Motion().write(avatar, tmp_path / "own.npz")
        back = Motion().read(tmp_path / "own.npz").parameters
        assert back.keys() == avatar.motion.keys()
        assert all(torch.equal(back[name], avatar.motion[name]) for name in back)
    np.savez(tmp_path / "empty.npz", shape=np.zeros(300))
    with pytest.raises(DataError, match=r"empty\.npz"):
        Motion().read(tmp_path / "empty.npz")


@pytest.mark.parametrize("scales", [2, 3])
@pytest.mark.parametrize("bound", [True, False])
def test_a_foreign_file_without_surfels_is_refused(tmp_path, scales, bound):
    arrays = {name: value[:0] for name, value in local_surfels().items()}
    arrays["log_scale"] = np.zeros((0, scales), np.float32)
    if not bound:
        del arrays["triangle"]
    write_points(tmp_path / "point_cloud.ply", arrays)
    with pytest.raises(DataError, match=r"point_cloud\.ply.*has no surfels"):
        SurfheadAvatar().read(tmp_path)

"""Tests of the FLAME rig on a model of FLAME's size that the tests make."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest
import torch
from scipy.linalg import expm

from surfhead.core.api import DataError, ShapeError, UnknownNameError
from surfhead.plugins.rigs.flame.example import write_example
from surfhead.plugins.rigs.flame.flame import Flame
from surfhead.plugins.rigs.flame.teeth import LOWER_LIP, UPPER_LIP, tooth_vertices


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_example(tmp_path_factory.mktemp("flame")).parent


@pytest.fixture(scope="module")
def content(folder):
    return pickle.loads((folder / "model.pkl").read_bytes())


@pytest.fixture(scope="module")
def rig(folder):
    made = Flame(Flame.Options(path=str(folder / "model.pkl")))
    made.prepare({})
    return made


def rotation(axis_angle):
    """Rodrigues by the matrix exponential of its definition."""
    x, y, z = axis_angle
    return expm(np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]))


def reference(content, shape, expression, turns, translation, offset):
    """FLAME in double precision, joint by joint and homogeneous, without teeth."""
    basis = content["shapedirs"].astype(np.float64)
    template = content["v_template"].astype(np.float32).astype(np.float64)
    coefficients = np.concatenate([shape, expression])
    shaped = template + np.einsum("vck,k->vc", basis, coefficients) + offset
    joints = content["J_regressor"].astype(np.float32).astype(np.float64) @ shaped
    rotations = [rotation(turn) for turn in turns]
    feature = np.concatenate([(r - np.eye(3)).ravel() for r in rotations[1:]])
    bent = shaped + np.einsum("vck,k->vc", content["posedirs"].astype(np.float64), feature)
    world = []
    for joint, parent in enumerate([-1, 0, 1, 1, 1]):
        local = np.eye(4)
        local[:3, :3] = rotations[joint]
        local[:3, 3] = joints[joint] - (joints[parent] if parent >= 0 else 0)
        world.append(local if parent < 0 else world[parent] @ local)
    posed = np.zeros_like(bent)
    for joint in range(5):
        back = np.eye(4)
        back[:3, 3] = -joints[joint]
        matrix = world[joint] @ back
        moved = bent @ matrix[:3, :3].T + matrix[:3, 3]
        posed += content["weights"][:, joint : joint + 1].astype(np.float64) * moved
    return posed + translation


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_it_agrees_with_an_independent_double_precision_flame(folder, content, dtype, tolerance):
    generator = np.random.default_rng(1)
    shape, expression = generator.normal(size=100), generator.normal(size=50)
    shape = shape.astype(np.float32).astype(np.float64)
    turns = generator.normal(size=(5, 3)) * 0.7
    turns[0] *= 3  # far from the identity
    translation = generator.normal(size=3)
    offset = (generator.normal(size=(5023, 3)) * 1e-3).astype(np.float32).astype(np.float64)
    rig = Flame(Flame.Options(path=str(folder / "model.pkl"), teeth=False))
    rig.prepare({"shape": torch.tensor(shape), "static_offset": torch.tensor(offset)})
    posed = rig(
        {
            "rotation": torch.tensor(turns[:1], dtype=dtype),
            "neck": torch.tensor(turns[1:2], dtype=dtype),
            "jaw": torch.tensor(turns[2:3], dtype=dtype),
            "eyes": torch.tensor(turns[3:].reshape(1, 6), dtype=dtype),
            "expression": torch.tensor(expression[None], dtype=dtype),
            "translation": torch.tensor(translation[None], dtype=dtype),
        }
    ).vertices[0]
    expected = reference(content, shape, expression, turns, translation, offset)
    # the identity is applied in float32, which bounds the agreement of the double run
    bound = max(tolerance, 2e-7) if dtype == torch.float64 else tolerance
    assert np.abs(posed.numpy() - expected).max() < bound


def test_a_double_run_without_identity_is_exact_to_double_rounding(folder, content):
    generator = np.random.default_rng(2)
    turns = generator.normal(size=(5, 3))
    rig = Flame(Flame.Options(path=str(folder / "model.pkl"), teeth=False))
    rig.prepare({})
    names = {"rotation": turns[:1], "neck": turns[1:2], "jaw": turns[2:3], "eyes": turns[3:].reshape(1, 6)}
    posed = rig({name: torch.tensor(value) for name, value in names.items()}).vertices[0]
    zero = np.zeros
    expected = reference(content, zero(100), zero(50), turns, zero(3), zero((5023, 3)))
    assert np.abs(posed.numpy() - expected).max() < 1e-12


def test_missing_parameters_are_zero_and_poses_are_independent(rig):
    rest = rig.rest()
    assert torch.allclose(rig({}).vertices[0], rest.vertices, atol=1e-7)
    jaw = torch.tensor([[0.0, 0, 0], [0.3, 0, 0]])
    both = rig({"jaw": jaw, "translation": torch.tensor([[0.0, 0, 1]])}).vertices
    one = rig({"jaw": jaw[1:], "translation": torch.tensor([[0.0, 0, 1]])}).vertices
    assert torch.allclose(both[1], one[0], atol=1e-7)
    assert not torch.allclose(both[0], both[1], atol=1e-3)


def test_fewer_coefficients_are_padded_and_more_are_refused(rig, folder):
    few = rig({"expression": torch.ones(1, 10)}).vertices
    full = torch.zeros(1, 100)
    full[:, :10] = 1
    assert torch.equal(few, rig({"expression": full}).vertices)
    with pytest.raises(ShapeError, match="expression"):
        rig({"expression": torch.zeros(1, 101)})
    with pytest.raises(ShapeError, match="jaw"):
        rig({"jaw": torch.zeros(1, 2)})
    other = Flame(Flame.Options(path=str(folder / "model.pkl")))
    a = other.prepare({"shape": torch.ones(1, 20)}).vertices
    long = torch.zeros(300)
    long[:20] = 1
    assert torch.equal(a, other.prepare({"shape": long}).vertices)
    with pytest.raises(ShapeError, match="shape"):
        other.prepare({"shape": torch.ones(301)})


def test_offsets_with_and_without_teeth_fit_models_with_and_without(folder):
    path = str(folder / "model.pkl")
    offset = torch.randn(1, 5143, 3, generator=torch.Generator().manual_seed(0)) * 1e-3
    for teeth, count in ((True, 5143), (False, 5023)):
        rig = Flame(Flame.Options(path=path, teeth=teeth))
        bare = rig.prepare({}).vertices
        given = rig.prepare({"static_offset": offset}).vertices - bare
        assert torch.allclose(given, offset[0, :count], atol=1e-7)
        short = rig.prepare({"static_offset": offset[:, :5023]}).vertices - bare
        assert torch.allclose(short[:5023], offset[0, :5023], atol=1e-7)
        assert float(short[5023:].abs().sum()) == 0
        rig.prepare({})
        moved = rig({"dynamic_offset": offset[:, :count].reshape(1, -1)}).vertices[0] - rig({}).vertices[0]
        assert torch.allclose(moved, offset[0, :count], atol=1e-7)
        with pytest.raises(ShapeError, match="static_offset"):
            rig.prepare({"static_offset": offset[:, :100]})
        without = Flame(Flame.Options(path=path, teeth=teeth, static_offset=False))
        assert torch.equal(without.prepare({"static_offset": offset}).vertices, bare)


def test_gradients_reach_every_parameter(rig):
    parameters = {
        name: torch.full((2, spec.size), 0.01, requires_grad=True) for name, spec in rig.parameters().items()
    }
    rig(parameters).vertices.square().sum().backward()
    for name, value in parameters.items():
        assert torch.isfinite(value.grad).all(), name
        assert float(value.grad.abs().sum()) > 0, name


def test_teeth_are_where_the_layout_says(rig):
    rest = rig.rest()
    lips = rest.vertices[:5023].double().numpy()
    upper, lower = lips[list(UPPER_LIP)], lips[list(LOWER_LIP)]
    gap = np.mean([np.linalg.norm(u - v) for u, v in zip(upper, lower, strict=True)])
    teeth = rest.vertices[5023:].double().numpy().reshape(8, 15, 3)
    height = np.mean((upper[:, 1] + lower[:, 1]) / 2)
    for column in range(15):
        x, z = (upper[column] + lower[column])[[0, 2]] / 2
        z -= 1.5 * gap
        expected = [
            (x, height + 2.1 * gap, z),  # upper root
            (x, height - 2.1 * gap, z - 0.4 * gap),  # lower root
            (x, height + 0.1 * gap, z),  # upper edge
            (x, height - 0.1 * gap, z - 0.4 * gap),  # lower edge
            (x, height + 2.1 * gap, z - gap),  # upper root back
            (x, height + 0.1 * gap, z - gap),  # upper edge back
            (x, height - 2.1 * gap, z - 1.4 * gap),  # lower root back
            (x, height - 0.1 * gap, z - 1.4 * gap),  # lower edge back
        ]
        assert np.abs(teeth[:, column] - expected).max() < 1e-7


def test_tooth_triangles_come_last_and_face_outward(rig):
    topology = rig.rest().topology
    count = len(topology.triangles)
    assert topology.regions["teeth"].nonzero().squeeze(1).tolist() == list(range(count - 168, count))
    assert topology.regions["upper_teeth"].nonzero().squeeze(1).tolist() == [*range(count - 168, count - 84)]
    a, b, c = rig.rest().vertices[topology.triangles[-168:]].unbind(1)
    normals = torch.linalg.cross(b - a, c - a).reshape(6, 28, 3)
    for strip, (axis, sign) in enumerate([(2, 1), (2, -1), (1, -1), (2, 1), (2, -1), (1, 1)]):
        assert bool((normals[strip, :, axis] * sign > 0).all()), strip
    # the n-th quad of each strip lies in column n
    columns = (topology.triangles[-168:].reshape(6, 14, 6) - 5023) % 15
    assert bool((columns.amin(dim=2) == torch.arange(14)).all())
    assert bool((columns.amax(dim=2) == torch.arange(1, 15)).all())


def test_upper_teeth_follow_the_neck_and_lower_teeth_the_jaw_without_expression(rig):
    rows = rig.rest().vertices[5023:].reshape(8, 15, 3)
    upper = [0, 2, 4, 5]
    jaw = rig({"jaw": torch.tensor([[0.4, 0, 0]])}).vertices[0, 5023:].reshape(8, 15, 3)
    assert torch.allclose(jaw[upper], rows[upper], atol=1e-7)
    assert float((jaw[[1, 3, 6, 7]] - rows[[1, 3, 6, 7]]).norm(dim=-1).min()) > 1e-3
    # the regressed joints move with the expression, so compare in the neutral pose only
    smile = rig({"expression": torch.ones(1, 100)}).vertices[0]
    assert torch.allclose(smile[5023:].reshape(8, 15, 3), rows, atol=1e-6)


def test_teeth_do_not_depend_on_the_direction_of_the_columns():
    generator = np.random.default_rng(0)
    upper = np.stack([np.linspace(-2, 2, 15), np.full(15, 0.2), generator.random(15)], axis=1)
    lower = upper * [1, -1, 1]
    mirrored = tooth_vertices(upper[::-1], lower[::-1]).reshape(8, 15, 3)[:, ::-1]
    assert np.allclose(mirrored, tooth_vertices(upper, lower).reshape(8, 15, 3))


def test_regions_hold_the_triangles_whose_vertices_all_lie_in_the_mask(rig, folder):
    masks = pickle.loads((folder / "FLAME_masks.pkl").read_bytes())
    topology = rig.rest().topology
    for name in ("face", "boundary", "left_eyeball"):
        inside = set(masks[name].tolist())
        expected = [all(v in inside for v in t) for t in topology.triangles.tolist()]
        assert topology.regions[name].tolist() == expected
    both = topology.regions["left_eyeball"] | topology.regions["right_eyeball"]
    assert torch.equal(topology.regions["eyeballs"], both)
    assert int(both.sum()) == 2 * 1088


def test_import_to_safetensors_gives_the_same_rig_and_keeps_the_source_hash(rig, folder, tmp_path):
    path = rig.pack(tmp_path / "rig.safetensors")
    imported = Flame(Flame.Options(path=str(path)))
    assert torch.equal(imported.prepare({}).vertices, rig.rest().vertices)
    parameters = {"jaw": torch.tensor([[0.2, 0.1, 0]]), "expression": torch.ones(1, 50)}
    assert torch.equal(imported(parameters).vertices, rig(parameters).vertices)
    assert imported.fingerprint() == rig.fingerprint()
    for name, inside in rig.rest().topology.regions.items():
        assert torch.equal(inside, imported.rest().topology.regions[name])


def test_texture_corners_come_from_the_template_and_must_fit(folder, content, tmp_path):
    lines = [f"v {x} {y} {z}" for x, y, z in content["v_template"]] + ["vt 0 0", "vt 1 0", "vt 0.5 1"]
    lines += [f"f {a + 1}/1 {b + 1}/2 {c + 1}/3" for a, b, c in content["f"].tolist()]
    template = tmp_path / "head.obj"
    template.write_text("\n".join(lines))
    rig = Flame(Flame.Options(path=str(folder / "model.pkl"), template=str(template)))
    uv = rig.prepare({}).topology.uv
    assert uv.shape == (len(content["f"]) + 168, 3, 2)
    assert uv[0].tolist() == [[0, 0], [1, 0], [0.5, 1]]
    template.write_text("\n".join(lines[:-1]))
    with pytest.raises(DataError, match="head.obj"):
        Flame(dataclasses.replace(rig.options)).prepare({})


def test_a_rig_without_a_model_and_unknown_names_are_declared_errors(rig):
    with pytest.raises(DataError, match="no model file"):
        Flame().prepare({})
    with pytest.raises(UnknownNameError, match="jawpose"):
        rig({"jawpose": torch.zeros(1, 3)})
    with pytest.raises(UnknownNameError, match="shapes"):
        rig.prepare({"shapes": torch.zeros(1, 3)})
    rig.prepare({})


def test_the_rest_pose_may_have_its_jaw_open(folder):
    closed = Flame(Flame.Options(path=str(folder / "model.pkl")))
    opened = Flame(Flame.Options(path=str(folder / "model.pkl"), rest_jaw=0.3))
    closed.prepare({"shape": torch.linspace(-1, 1, 10)})
    rest = opened.prepare({"shape": torch.linspace(-1, 1, 10)})
    jaw = {"jaw": torch.tensor([[0.3, 0.0, 0.0]])}
    assert torch.equal(rest.vertices, closed(jaw).vertices[0])
    assert float((rest.vertices - closed.rest().vertices).norm(dim=1).max()) > 0.005
    for pose in (jaw, {"jaw": torch.zeros(1, 3)}):  # what is posed does not depend on it
        assert torch.equal(opened(pose).vertices, closed(pose).vertices)
    assert torch.equal(opened.linear_model().vertices, closed.linear_model().vertices)

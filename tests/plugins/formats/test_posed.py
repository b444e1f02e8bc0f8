"""Tests of the exports of one pose: the same Gaussians, the same colours, the same pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from surfhead.avatars.avatar import Avatar
from surfhead.avatars.surfels import Surfels, apply_field, merge_specs
from surfhead.core.api import Cameras, OptionError, create
from surfhead.maths import geometry, harmonics
from surfhead.plugins.formats.point_cloud import read_points
from surfhead.plugins.formats.posed import posed, principal_axes, turn_harmonics
from surfhead.plugins.formats.splats_2dgs import Splats2dgs
from surfhead.plugins.formats.splats_3dgs import Splats3dgs


def cameras():
    pose = torch.tensor([[1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 0.6], [0, 0, 0, 1]])
    return Cameras(pose[None], torch.tensor([[[90.0, 0, 30], [0, 90, 26], [0, 0, 1]]]), 52, 60)


@torch.no_grad()
def world_of(avatar, timestep):
    parameters = avatar.poses(torch.tensor([timestep]))
    mesh = avatar.rig(parameters) if avatar.deformer.rig_bound else None
    binding = avatar.surfels.binding()
    field = avatar.deformer(mesh, binding)
    return apply_field(field, binding), field


def test_axes_and_lengths_give_the_same_gaussians(ict_avatar):
    world, _ = world_of(ict_avatar, 1)
    arrays = posed(ict_avatar, 1)
    turns = geometry.quaternion_to_matrix(torch.from_numpy(arrays["quaternion"]).double())
    half = turns[:, :, :2] * torch.from_numpy(arrays["log_scale"]).double().exp()[:, None, :]
    tangents = world.tangents[0].double()
    expected = tangents @ tangents.mT
    assert float((half @ half.mT - expected).abs().max()) < 1e-6 * float(expected.abs().max())
    assert float((turns[:, :, 2] * world.normal[0]).sum(-1).min()) > 1 - 1e-6
    assert np.allclose(arrays["offset"], world.mean[0].detach().numpy())


def test_thin_and_sheared_tangents_keep_right_angles():
    tangents = torch.zeros(3, 3, 2)
    tangents[0] = torch.tensor([[1.0, 1.0], [0, 1e-9], [0, 0]])
    tangents[1] = torch.tensor([[2.0, 0], [0, 3], [0, 0]])
    tangents[2, 2] = 1
    normal = torch.tensor([[0.0, 0, 1], [0, 0, -1], [1, 0, 0]])
    axes, lengths = principal_axes(tangents, normal)
    assert torch.allclose(axes @ axes.mT, torch.eye(3, dtype=torch.float64).expand(3, 3, 3))
    assert torch.allclose(torch.linalg.det(axes), torch.ones(3, dtype=torch.float64))
    assert lengths[1].tolist() == [pytest.approx(3), pytest.approx(2)]


def test_turned_harmonics_are_the_function_seen_from_the_turned_frame():
    generator = torch.Generator().manual_seed(0)
    rest = torch.randn(7, 15, 3, generator=generator, dtype=torch.float64)
    turns = geometry.axis_angle_to_matrix(torch.randn(7, 3, generator=generator, dtype=torch.float64) * 2)
    directions = torch.randn(50, 3, generator=generator, dtype=torch.float64)
    directions = torch.nn.functional.normalize(directions, dim=-1)
    inside = torch.einsum("nji,sj->nsi", turns, directions)
    expected = harmonics.basis(inside, 3)[..., 1:] @ rest
    found = harmonics.basis(directions, 3)[:, 1:] @ turn_harmonics(rest, turns)
    assert float((found - expected).abs().max()) < 1e-12


@pytest.mark.parametrize("name", ["ict_avatar", "static_avatar"])
def test_a_2dgs_file_draws_the_same_picture(name, request, tmp_path):
    avatar = request.getfixturevalue(name)
    timestep = 2 if avatar.motion else None
    path = tmp_path / "x.ply"
    assert Splats2dgs().write(avatar, path, timestep=timestep) == [path]
    assert b"\ncomment SplatRenderMode: 2dgs\n" in path.read_bytes()
    arrays, _ = read_points(path)
    assert arrays["log_scale"].shape == (len(avatar.surfels), 2)
    assert (arrays["triangle"] == -1).all()
    deformer, appearance = create("deformer", "static"), create("appearance", "sh", {"interval": 0})
    specs = merge_specs(deformer.parameters(), appearance.parameters())
    values = {key: torch.from_numpy(arrays[key].copy()) for key in specs}
    surfels = Surfels(specs, values, torch.from_numpy(arrays["triangle"]), None)
    drawn = Avatar(
        surfels, create("rig", "none"), deformer, appearance, avatar.rasterizer, {}, avatar.background
    )
    theirs = drawn.render(cameras(), {}).output.rgb
    ours = avatar.render(cameras(), timestep or 0).output.rgb
    assert float((ours - 1).abs().max()) > 0.2, "the picture shows nothing"
    assert float((ours - theirs).abs().max()) < 1 / 255


def test_a_3dgs_file_has_a_third_scale_and_all_harmonics(ict_avatar, tmp_path):
    path = tmp_path / "x.ply"
    Splats3dgs().write(ict_avatar, path, timestep=1)
    arrays, _ = read_points(path)
    flat = posed(ict_avatar, 1)
    assert np.allclose(arrays["log_scale"][:, 2], np.log(1e-6))
    assert np.array_equal(arrays["log_scale"][:, :2], flat["log_scale"])
    assert arrays["sh_rest"].shape[1:] == (15, 3)
    assert {"specular", "blend"}.isdisjoint(arrays)
    raw = path.read_bytes()
    header = raw[: raw.index(b"end_header")].decode().splitlines()
    names = [line.split()[2] for line in header if line.startswith("property float")]
    expected = ["x", "y", "z", "nx", "ny", "nz", *(f"f_dc_{i}" for i in range(3))]
    expected += [*(f"f_rest_{i}" for i in range(45)), "opacity", "scale_0", "scale_1", "scale_2"]
    assert names == [*expected, *(f"rot_{i}" for i in range(4))]


def test_rig_parameters_pose_it_as_well_as_a_timestep(ict_avatar, tmp_path):
    given = {name: value[1] for name, value in ict_avatar.motion.items()}
    Splats2dgs().write(ict_avatar, tmp_path / "a.ply", parameters=given)
    Splats2dgs().write(ict_avatar, tmp_path / "b.ply", timestep=1)
    assert (tmp_path / "a.ply").read_bytes() == (tmp_path / "b.ply").read_bytes()
    Splats2dgs().write(ict_avatar, tmp_path / "c.ply", timestep=0)
    assert (tmp_path / "a.ply").read_bytes() != (tmp_path / "c.ply").read_bytes()


def test_wrong_settings_are_option_errors(ict_avatar, tmp_path):
    for settings in ({"timestep": 99}, {"timestep": -1}, {"timestep": 0, "parameters": {}}):
        with pytest.raises(OptionError):
            Splats3dgs().write(ict_avatar, tmp_path / "x.ply", **settings)

"""Promises every rig-bound deformer keeps: rest pose, rigid motion, gradients, degenerate triangles."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from surfhead.core.api import AffineField, Binding, Deformer, Mesh, OptionError
from surfhead.maths import geometry
from surfhead.plugins.deformers.jacobian import Jacobian
from surfhead.plugins.deformers.jbs import Jbs
from surfhead.plugins.deformers.lbs import Lbs
from surfhead.plugins.deformers.similarity import Similarity
from tests.gradients import check_gradients

from .conftest import RIG_BOUND, Patch, make_patch


def deformer(name: str, rig_gradients: bool = True) -> Deformer:
    if name == "jbs-paper":
        return Jbs(Jbs.Options(rotation_blend="paper", rig_gradients=rig_gradients))
    cls = {"similarity": Similarity, "jacobian": Jacobian, "lbs": Lbs, "jbs": Jbs}[name]
    return cls(cls.Options(rig_gradients=rig_gradients))


def parts(field: AffineField) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return field.linear, field.origin, field.rotation, field.scale


@pytest.mark.parametrize("name", RIG_BOUND)
def test_rest_pose(name: str, patch: Patch) -> None:
    field = deformer(name)(patch.mesh(patch.rest.vertices[None]), patch.binding)
    frames, host = patch.rest.frames, patch.binding.triangle
    identity = torch.eye(3, dtype=torch.float64).expand(1, len(host), 3, 3)
    torch.testing.assert_close(field.linear[0], frames.scale[host, None, None] * frames.rotation[host])
    torch.testing.assert_close(field.origin[0], frames.centroid[host])
    torch.testing.assert_close(field.rotation, identity)
    torch.testing.assert_close(field.scale, frames.scale[host][None])


def rigid(angle: float) -> tuple[Tensor, Tensor]:
    axis = torch.tensor([0.36, -0.48, 0.8], dtype=torch.float64)
    return geometry.axis_angle_to_matrix(angle * axis), torch.tensor([0.3, -1.0, 0.2], dtype=torch.float64)


# the published blend averages absolute rotations, which fails towards π
@pytest.mark.parametrize(
    ("name", "angle"),
    [
        (name, angle)
        for name in RIG_BOUND
        for angle in (1e-3, 0.7, 1.5, 2.0, 3.0, math.pi, 4.5)
        if angle < math.pi / 2 or name != "jbs-paper"
    ],
)
def test_rigid_motion_moves_the_field_along(name: str, angle: float, patch: Patch) -> None:
    chosen = deformer(name)
    assert angle < chosen.max_angle
    turn, shift = rigid(angle)
    still = chosen(patch.mesh(patch.rest.vertices[None]), patch.binding)
    moved = chosen(patch.mesh((patch.rest.vertices @ turn.mT + shift)[None]), patch.binding)
    torch.testing.assert_close(moved.linear, turn @ still.linear)
    torch.testing.assert_close(moved.origin, still.origin @ turn.mT + shift)
    torch.testing.assert_close(moved.rotation, turn @ still.rotation)
    torch.testing.assert_close(moved.scale, still.scale)


@pytest.mark.parametrize("name", ["similarity", "jacobian", "lbs", "jbs"])
@pytest.mark.parametrize("angle", [0.7, 2.0, 3.1, math.pi])
def test_rigid_motion_of_a_deformed_head(name: str, angle: float, patch: Patch) -> None:
    turn, shift = rigid(angle)
    vertices = patch.vertices()
    still = deformer(name)(patch.mesh(vertices), patch.binding)
    moved = deformer(name)(patch.mesh(vertices @ turn.mT + shift), patch.binding)
    torch.testing.assert_close(moved.linear, turn @ still.linear)
    torch.testing.assert_close(moved.origin, still.origin @ turn.mT + shift)
    torch.testing.assert_close(moved.rotation, turn @ still.rotation)


@pytest.mark.parametrize("name", RIG_BOUND)
def test_rotation_is_a_rotation_and_scale_is_in_linear(name: str, patch: Patch) -> None:
    field = deformer(name)(patch.mesh(patch.vertices(3)), patch.binding)
    identity = torch.eye(3, dtype=torch.float64).expand_as(field.rotation)
    torch.testing.assert_close(field.rotation @ field.rotation.mT, identity)
    assert float(geometry.determinant(field.rotation).min()) > 0.999
    if name == "similarity":
        length = geometry.determinant(field.linear) ** (1 / 3)
        torch.testing.assert_close(length, field.scale)


@pytest.mark.parametrize("name", RIG_BOUND)
def test_poses_are_independent(name: str, patch: Patch) -> None:
    vertices = patch.vertices(3)
    together = deformer(name)(patch.mesh(vertices), patch.binding)
    for pose in range(3):
        alone = deformer(name)(patch.mesh(vertices[pose : pose + 1]), patch.binding)
        torch.testing.assert_close(alone.linear[0], together.linear[pose])
        torch.testing.assert_close(alone.rotation[0], together.rotation[pose])


def leaves(patch: Patch, vertices: Tensor) -> tuple[Tensor, Tensor]:
    return vertices.clone().requires_grad_(), patch.binding.parameters["blend"].clone().requires_grad_()


def field_of(patch: Patch, name: str, vertices: Tensor, blend: Tensor) -> AffineField:
    binding = replace(patch.binding, parameters={"blend": blend})
    return deformer(name)(patch.mesh(vertices), binding)


@pytest.mark.parametrize("name", RIG_BOUND)
@pytest.mark.parametrize("at_rest", [False, True])
def test_gradients_against_finite_differences(name: str, at_rest: bool) -> None:
    patch = make_patch(size=1.0)  # metres, so that the step of gradcheck is small beside an edge
    # a few surfels suffice: one follows its host alone, one lies on the open edge
    chosen = torch.tensor([3, 7, 8, 10])
    patch.binding = Binding(
        patch.binding.triangle[chosen],
        {"blend": patch.binding.parameters["blend"][chosen]},
        {"eyeballs": torch.tensor([0])},
    )
    vertices = patch.rest.vertices[None] if at_rest else patch.vertices(2, 0.15)
    check_gradients(lambda *inputs: parts(field_of(patch, name, *inputs)), leaves(patch, vertices))


@pytest.mark.parametrize("name", RIG_BOUND)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_at_the_rest_pose(name: str, dtype: torch.dtype) -> None:
    patch = make_patch(dtype)
    vertices, blend = leaves(patch, patch.rest.vertices[None])
    field = field_of(patch, name, vertices, blend)
    loss = field.linear.square().sum() + field.rotation[..., 0, 1].sum() + field.origin.sum()
    for gradient in torch.autograd.grad(loss, (vertices, blend), allow_unused=True):
        assert gradient is None or torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", RIG_BOUND)
def test_without_rig_gradients_only_centroids_carry_them(name: str, patch: Patch) -> None:
    vertices, blend = leaves(patch, patch.vertices())
    binding = replace(patch.binding, parameters={"blend": blend})
    detached = deformer(name, rig_gradients=False)(patch.mesh(vertices), binding)
    attached = deformer(name)(patch.mesh(vertices), binding)
    for one, other in zip(parts(detached), parts(attached), strict=True):
        torch.testing.assert_close(one, other)
    learns = name in ("lbs", "jbs", "jbs-paper")
    assert detached.linear.requires_grad == learns
    if learns:
        through_linear = torch.autograd.grad(
            detached.linear.sum(), (vertices, blend), retain_graph=True, allow_unused=True
        )
        assert through_linear[0] is None
        assert (through_linear[1] != 0).any()
    (through_origin,) = torch.autograd.grad(detached.origin.square().sum(), vertices)
    assert (through_origin != 0).any()


@pytest.mark.parametrize("cls", [Similarity, Jacobian, Lbs, Jbs])
def test_unless_it_is_asked_otherwise_the_whole_field_reaches_the_rig(
    cls: type[Deformer], patch: Patch
) -> None:
    vertices = patch.vertices().requires_grad_()
    field = cls()(patch.mesh(vertices), patch.binding)
    (gradient,) = torch.autograd.grad(field.linear.square().sum(), vertices)
    assert (gradient != 0).any()


@pytest.mark.parametrize("name", RIG_BOUND)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("where", ["rest", "posed"])
def test_degenerate_hosts_only_translate(name: str, dtype: torch.dtype, where: str) -> None:
    patch = make_patch(dtype, regions=False)
    corners = patch.rest.topology.triangles[8]
    vertices = patch.vertices(2)
    if where == "posed":
        vertices[:, corners[2]] = 0.5 * (vertices[:, corners[0]] + vertices[:, corners[1]])
    else:
        patch.rest.vertices[corners[2]] = 0.5 * (
            patch.rest.vertices[corners[0]] + patch.rest.vertices[corners[1]]
        )
    vertices, blend = leaves(patch, vertices)
    mesh = patch.mesh(vertices)
    alone = torch.tensor([[60.0, -60.0, -60.0, -60.0]], dtype=dtype).expand_as(blend)
    field = field_of(patch, name, vertices, alone)
    frames = patch.rest.frames
    torch.testing.assert_close(
        field.linear[:, 8], (frames.scale[8] * frames.rotation[8]).expand(2, 3, 3), rtol=1e-5, atol=1e-9
    )
    torch.testing.assert_close(field.rotation[:, 8], torch.eye(3, dtype=dtype).expand(2, 3, 3))
    torch.testing.assert_close(field.origin[:, 8], mesh.vertices[:, corners].mean(dim=1))
    blended = field_of(patch, name, vertices, blend)
    loss = sum((part.square().sum() for part in parts(blended)), blended.rotation[..., 1, 0].sum())
    for value in (*parts(blended), *torch.autograd.grad(loss, (vertices, blend), allow_unused=True)):
        assert value is None or torch.isfinite(value).all()


@pytest.mark.parametrize("name", RIG_BOUND)
def test_no_surfels(name: str, patch: Patch) -> None:
    none = torch.zeros(0, dtype=torch.int64)
    binding = Binding(none, {"blend": torch.zeros(0, 4, dtype=torch.float64)}, {"eyeballs": none})
    field = deformer(name)(patch.mesh(patch.vertices()), binding)
    assert field.linear.shape == (2, 0, 3, 3)
    assert field.origin.shape == (2, 0, 3)
    assert field.rotation.shape == (2, 0, 3, 3)


@pytest.mark.parametrize("name", RIG_BOUND)
def test_single_precision_is_close_to_double(name: str) -> None:
    fields = []
    for dtype in (torch.float64, torch.float32):
        patch = make_patch(dtype)
        fields.append(deformer(name)(patch.mesh(patch.vertices()), patch.binding))
    for exact, single in zip(parts(fields[0]), parts(fields[1]), strict=True):
        tolerance = 1e-4 * float(exact.abs().max())
        torch.testing.assert_close(single.double(), exact, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", RIG_BOUND)
def test_needs_a_rig(name: str, patch: Patch) -> None:
    chosen = deformer(name)
    with pytest.raises(OptionError, match=rf'"{chosen.name}" needs a rig') as error:
        chosen(None, patch.binding)
    assert "static" in error.value.remedy


@pytest.mark.parametrize("name", RIG_BOUND)
def test_inputs_stay_as_they_are(name: str, patch: Patch) -> None:
    vertices, blend = patch.vertices(), patch.binding.parameters["blend"]
    before = vertices.clone(), blend.clone(), patch.rest.vertices.clone()
    deformer(name)(Mesh(vertices, patch.rest), patch.binding)
    for was, now in zip(before, (vertices, blend, patch.rest.vertices), strict=True):
        assert torch.equal(was, now)

"""Lengths of normals carried by the inverse transpose."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from surfhead.core.types import AffineField
from surfhead.maths.geometry import quaternion_to_matrix
from surfhead.plugins.regularizers.normal_length import NormalLength
from surfhead.testing import steps


def test_it_is_the_change_of_length_over_views_and_visible_surfels() -> None:
    step = steps.random_step(count=25)
    hosts, rest = step.binding.triangle, step.mesh.rest.frames  # type: ignore[union-attr]
    r = quaternion_to_matrix(step.binding.parameters["quaternion"]).double()
    frame, k = rest.rotation[hosts].double(), rest.scale[hosts].double()
    total, count = 0.0, 0
    for view in range(2):
        for surfel in range(25):
            if not step.output.visible[view, surfel]:
                continue
            deformation = step.field.linear[view, surfel].double() @ frame[surfel].mT / k[surfel]
            normal = torch.linalg.inv(deformation).mT @ frame[surfel] @ r[surfel, :, 2]
            total += abs(float(normal.norm().detach()) - 1.0)
            count += 1
    assert NormalLength()(step).item() == pytest.approx(total / count, rel=1e-4)


def test_it_equals_the_formula_in_the_tangents() -> None:
    step = steps.random_step(count=25)
    k = step.field.scale
    s = step.binding.parameters["log_scale"].exp()
    tangents = step.surfels.tangents
    area = torch.linalg.cross(tangents[..., 0], tangents[..., 1]).norm(dim=-1)
    determinant = torch.linalg.det(step.field.linear) / k**3
    change = (area / (k**2 * s[:, 0] * s[:, 1] * determinant) - 1).abs()
    expected = change[step.output.visible].mean()  # view b shows pose b
    torch.testing.assert_close(NormalLength()(step), expected, rtol=1e-4, atol=0)


def test_rotating_and_scaling_triangles_alike_changes_nothing() -> None:
    step = steps.perfect_step()
    field = replace(step.field, linear=2.5 * step.field.linear, scale=2.5 * step.field.scale)
    assert NormalLength()(replace(step, field=field)).item() < 1e-5


def test_views_that_share_a_pose_count_one_by_one() -> None:
    step = steps.random_step(count=4)
    stretch = torch.diag(torch.tensor([1.0, 1.0, 2.0])).expand(1, 4, 3, 3)
    identity = torch.eye(3).expand(1, 4, 3, 3)
    field = AffineField(torch.cat((identity, stretch)), torch.zeros(2, 4, 3), identity, torch.ones(1, 4))
    upright = torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(4, 4)
    step = replace(
        step,
        field=field,
        batch=replace(step.batch, pose_of_view=torch.tensor([1, 0, 1])),
        binding=replace(step.binding, parameters={"quaternion": upright}),
        output=replace(step.output, visible=torch.ones(3, 4, dtype=torch.bool)),
    )
    assert NormalLength()(step).item() == pytest.approx(2 * 0.5 / 3)


def test_a_singular_or_reflecting_blend_stays_finite() -> None:
    step = steps.random_step(count=3)
    linear = torch.stack((torch.zeros(3, 3), torch.diag(torch.tensor([1.0, 1.0, 0.0])), -torch.eye(3)))
    linear = linear[None].expand(2, 3, 3, 3).clone().requires_grad_()
    field = AffineField(linear, torch.zeros(2, 3, 3), linear, torch.ones(1, 3))
    step = replace(step, field=field, output=replace(step.output, visible=torch.ones(2, 3, dtype=torch.bool)))
    value = NormalLength()(step)
    value.backward()
    assert bool(torch.isfinite(value))
    assert linear.grad is not None
    assert bool(torch.isfinite(linear.grad).all())


def test_a_reflection_keeps_lengths() -> None:
    step = steps.random_step(count=3)
    reflection = -torch.eye(3).expand(2, 3, 3, 3)
    field = AffineField(reflection, torch.zeros(2, 3, 3), reflection, torch.ones(1, 3))
    assert NormalLength()(replace(step, field=field)).item() == pytest.approx(0.0, abs=1e-6)

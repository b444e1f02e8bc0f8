"""The albedo's roughness against one computed edge by edge."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from surfhead.plugins.regularizers.albedo_smoothness import EDGE, AlbedoSmoothness
from surfhead.testing import steps


def test_it_is_the_mean_over_neighbours() -> None:
    step = steps.random_step(20)
    assert step.mesh is not None
    topology = step.mesh.topology
    colour = torch.sigmoid(step.binding.parameters["albedo"].detach())
    weight = step.surfels.opacity.detach()
    means = {}
    for face in range(len(topology.triangles)):
        inside = step.binding.triangle == face
        if inside.any():
            means[face] = (colour[inside] * weight[inside, None]).sum(0) / weight[inside].sum()
    found = [
        ((means[face] - means[other]).square().sum() + EDGE**2).sqrt() - EDGE
        for face in means
        for other in topology.neighbours[face].tolist()
        if other in means and other != face
    ]
    assert AlbedoSmoothness()(step).item() == pytest.approx(torch.stack(found).mean().item(), rel=1e-4)


def test_one_colour_is_smooth_and_one_spot_is_not() -> None:
    step = steps.random_step(18)
    even = dict(step.binding.parameters) | {"albedo": torch.full((18, 3), 0.3)}
    assert AlbedoSmoothness()(replace(step, binding=replace(step.binding, parameters=even))).item() == (
        pytest.approx(0.0, abs=1e-7)
    )
    even["albedo"] = even["albedo"].clone()
    even["albedo"][4] = 3.0
    spotted = AlbedoSmoothness()(replace(step, binding=replace(step.binding, parameters=even))).item()
    assert spotted > 0.01


def test_it_leaves_colours_without_light_alone_unless_told() -> None:
    step = steps.random_step(20)
    specs, parameters = dict(step.binding.specs), dict(step.binding.parameters)
    specs["sh_dc"], parameters["sh_dc"] = specs.pop("albedo"), parameters.pop("albedo")
    baked = replace(step, binding=replace(step.binding, specs=specs, parameters=parameters))
    assert AlbedoSmoothness()(baked).item() == 0.0
    assert (
        AlbedoSmoothness(AlbedoSmoothness.Options(parameter="sh_dc"))(baked).item()
        == AlbedoSmoothness()(step).item()
        > 0.0
    )


def test_without_albedo_or_rig_it_is_zero() -> None:
    step = steps.random_step()
    assert AlbedoSmoothness()(replace(step, binding=replace(step.binding, specs={}))).item() == 0.0
    assert AlbedoSmoothness()(replace(step, mesh=None)).item() == 0.0

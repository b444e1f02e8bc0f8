"""The hold on what no view determines, against one computed surfel by surfel."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from surfhead.core.api import ParameterSpec, Schedule, Step
from surfhead.plugins.regularizers.unseen import REACH, Unseen
from surfhead.testing import steps


def test_it_is_half_the_squared_distance_from_the_surroundings() -> None:
    step = steps.random_step(20)
    assert step.mesh is not None
    generator = torch.Generator().manual_seed(1)
    raw = dict(step.binding.parameters) | {"place": torch.randn(20, 3, generator=generator)}
    raw["turn"] = torch.randn(20, 4, generator=generator)
    specs = dict(step.binding.specs) | {
        "albedo": replace(step.binding.specs["albedo"], unseen="neighbours"),
        "place": ParameterSpec((3,), 0.0, Schedule(1.0), unseen="surface"),
        "turn": ParameterSpec((4,), (1.0, 0.0, 0.0, 0.0), Schedule(1.0), unseen="initial"),
    }
    step = replace(step, binding=replace(step.binding, specs=specs, parameters=raw))
    neighbours, host = step.mesh.topology.neighbours, step.binding.triangle
    weight = step.surfels.opacity.detach()
    total = 0.0
    for name, spec in step.binding.specs.items():
        value = step.binding.parameters[name].detach().reshape(20, -1)
        if spec.unseen == "neighbours":
            for surfel in range(20):
                face = int(host[surfel])
                shares = torch.zeros(20)
                for other in (face, *neighbours[face].tolist()):
                    shares += weight * (host == other)
                goal = (shares[:, None] * value).sum(dim=0) / shares.sum()
                total += float((value[surfel] - goal).square().sum())
        elif spec.unseen == "initial":
            start = spec.start(20, torch.Generator()).reshape(20, -1)
            total += float((value - start).square().sum())
        elif spec.unseen == "surface":
            away = value.clone()  # from the triangle: its plane, and a circle about its middle
            flat = away[:, :2].norm(dim=1, keepdim=True)
            away[:, :2] -= away[:, :2] * (REACH / flat).clamp_max(1.0)
            total += float(away.square().sum())
    assert Unseen()(step).item() == pytest.approx(0.5 * total / 20, rel=1e-4)


def test_without_declarations_it_is_zero() -> None:
    step = steps.random_step()
    assert Unseen()(replace(step, binding=replace(step.binding, specs={}))).item() == 0.0


def test_what_no_picture_shows_counts_many_times() -> None:
    step = steps.random_step(20)
    plain = Unseen()(step).item()
    alone = [
        Unseen(Unseen.Options(hidden=2.0))(with_hidden(step, [surfel])).item() - plain for surfel in range(20)
    ]
    assert sum(alone) == pytest.approx(plain, rel=1e-4)  # every surfel once more
    assert min(alone) > 0.0
    twice = Unseen(Unseen.Options(hidden=5.0))(with_hidden(step, [3, 7])).item()
    assert twice == pytest.approx(plain + 4.0 * (alone[3] + alone[7]), rel=1e-4)
    assert Unseen()(with_hidden(step, [])).item() == plain


def with_hidden(step: Step, surfels: list[int]) -> Step:
    regions = {**step.binding.regions, "hidden": torch.tensor(surfels, dtype=torch.int64)}
    return replace(step, binding=replace(step.binding, regions=regions))

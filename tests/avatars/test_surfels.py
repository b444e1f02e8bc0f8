"""Surfels in the world, and what a densifying plan does to them."""

from __future__ import annotations

import math

import pytest
import torch

from surfhead.avatars.surfels import CORE_PARAMETERS, Selection, Surfels, apply_field, merge_specs
from surfhead.core.densification import DensifyPlan
from surfhead.core.errors import ContractError
from surfhead.core.parameters import ParameterSpec, Schedule
from surfhead.maths.geometry import quaternion_to_matrix
from surfhead.testing import tiny
from surfhead.testing.steps import host_field

FEATURE = ParameterSpec((2,), 0.5, Schedule(1e-3), region="eyeballs")
EXTRA = {"feature": ParameterSpec((2,), 0.5, Schedule(1e-3), frozen_regions=("teeth",))}


def made(count: int = 6) -> Surfels:
    topology = tiny.rest_mesh().topology
    binding = tiny.binding(EXTRA, count, topology)
    return Surfels(merge_specs(EXTRA), binding.parameters, binding.triangle, topology)


def flags(count: int, *on: int) -> torch.Tensor:
    mask = torch.zeros(count, dtype=torch.bool)
    mask[list(on)] = True
    return mask


def test_a_point_a_tangent_and_a_normal_follow_the_affine_field() -> None:
    rest = tiny.rest_mesh(dtype=torch.float64)
    mesh = tiny.posed_mesh(rest, 2)
    binding = tiny.binding({}, 9, rest.topology, dtype=torch.float64)
    field = host_field(mesh, binding)
    world = apply_field(field, binding)
    raw = binding.parameters
    for pose in range(2):
        for i in range(9):
            linear = field.linear[pose, i]
            turn = quaternion_to_matrix(raw["quaternion"][i])
            torch.testing.assert_close(world.mean[pose, i], linear @ raw["offset"][i] + field.origin[pose, i])
            tangents = linear @ turn[:, :2] @ torch.diag(raw["log_scale"][i].exp())
            torch.testing.assert_close(world.tangents[pose, i], tangents)
            # the normal by the inverse transpose, which the cross product of the tangents stands in for
            normal = torch.linalg.inv(linear).mT @ turn[:, 2]
            torch.testing.assert_close(world.normal[pose, i], normal / normal.norm())
    torch.testing.assert_close(world.opacity, torch.sigmoid(raw["opacity"]))


def test_regions_follow_the_hosts() -> None:
    surfels = made(18)
    topology = tiny.rest_mesh().topology
    for name, index in surfels.regions.items():
        assert index.tolist() == sorted(index.tolist())
        inside = topology.regions[name][surfels.triangle]
        assert index.tolist() == inside.nonzero().squeeze(1).tolist()


def test_frozen_surfels_are_those_of_the_declared_and_the_chosen_regions() -> None:
    surfels = made(18)
    teeth, eyes = surfels.regions["teeth"].tolist(), surfels.regions["eyeballs"].tolist()
    declared, chosen = surfels.frozen("feature", ["eyeballs"]), surfels.frozen("offset", ["eyeballs"])
    assert declared is not None
    assert declared.tolist() == teeth
    assert chosen is not None
    assert chosen.tolist() == eyes  # detachable
    assert surfels.frozen("opacity", ["eyeballs"]) is None
    assert surfels.frozen("offset", []) is None
    both = surfels.frozen("offset", ["eyeballs", "teeth"])
    assert both is not None
    assert both.tolist() == sorted({*eyes, *teeth})
    surfels.mark("eyeballs", torch.zeros(len(surfels.triangle) + 99, dtype=torch.bool))
    assert surfels.frozen("offset", ["eyeballs"]) is None  # follows the regions


def test_who_learns_a_parameter_follows_the_hosts() -> None:
    topology = tiny.rest_mesh().topology
    binding = tiny.binding({"feature": FEATURE}, 18, topology)
    surfels = Surfels(merge_specs({"feature": FEATURE}), binding.parameters, binding.triangle, topology)
    before = surfels.learning("feature")
    assert before is not None
    assert before.tolist() == surfels.regions["eyeballs"].tolist() != []
    assert surfels.learning("offset") is None
    first = int(before[0])
    surfels.apply(DensifyPlan(flags(18, first), flags(18), flags(18, 0 if first else 1)), tiny.generator())
    after = surfels.learning("feature")
    assert after is not None
    inside = topology.regions["eyeballs"][surfels.triangle].nonzero().squeeze(1).tolist()
    assert after.tolist() == inside != before.tolist()
    lone = Surfels(surfels.specs, surfels.parameters, surfels.triangle, None)
    assert lone.learning("feature") is None  # no such region


def test_what_was_captured_of_a_region_is_not_used_when_another_is_named() -> None:
    surfels = made()
    before, index = surfels.generation, surfels.regions["eyeballs"]
    surfels.mark("hidden", torch.zeros(len(tiny.rest_mesh().topology.triangles), dtype=torch.bool))
    assert surfels.regions["eyeballs"] is not index  # elsewhere on the device
    assert surfels.generation != before


def test_survivors_clones_and_children_keep_host_and_values() -> None:
    surfels = made()
    before = {name: value.detach().clone() for name, value in surfels.parameters.items()}
    hosts = surfels.triangle.clone()
    plan = DensifyPlan(clone=flags(6, 1), split=flags(6, 2), prune=flags(6, 3), children=3)
    selection = surfels.apply(plan, tiny.generator())
    assert selection.source.tolist() == [0, 1, 4, 5, 1, 2, 2, 2]
    assert selection.fresh.tolist() == [False] * 4 + [True] * 4
    assert len(surfels) == 8
    assert surfels.triangle.tolist() == hosts[selection.source].tolist()
    for name, value in surfels.parameters.items():
        assert value.is_leaf
        assert value.requires_grad
        rows = slice(None) if name not in ("offset", "log_scale") else slice(5)
        assert torch.equal(value[rows], before[name][selection.source][rows]), name


def test_children_lie_in_their_parents_plane_and_are_smaller() -> None:
    surfels = made(1)
    parent = {name: value.detach()[0].clone() for name, value in surfels.parameters.items()}
    plan = DensifyPlan(clone=flags(1), split=flags(1, 0), prune=flags(1), children=2000, shrink=1.6)
    surfels.apply(plan, tiny.generator())
    raw = {name: value.detach() for name, value in surfels.parameters.items()}
    expected = parent["log_scale"] - math.log(1.6)
    torch.testing.assert_close(raw["log_scale"], expected.expand(2000, 2))
    local = (raw["offset"] - parent["offset"]) @ quaternion_to_matrix(parent["quaternion"])
    assert local[:, 2].abs().max() < 1e-5
    spread = local[:, :2].std(dim=0)
    torch.testing.assert_close(spread, parent["log_scale"].exp(), rtol=0.1, atol=0)


def test_no_plan_changes_how_many_are_hidden() -> None:
    """Also one of a densifier that knows nothing of that region."""
    surfels = made()
    triangle = int(surfels.triangle[2])
    surfels.mark("hidden", torch.arange(len(tiny.rest_mesh().topology.triangles)) == triangle)
    before = surfels.regions["hidden"].tolist()
    others = [index for index in range(6) if index not in before]
    plan = DensifyPlan(flags(6, 2), flags(6), flags(6, *range(6)))
    assert surfels.apply(plan, tiny.generator()).source.tolist() == before
    assert others
    assert len(surfels) == len(surfels.regions["hidden"]) == len(before)


def test_pruning_wins_over_cloning_and_splitting() -> None:
    surfels = made(3)
    plan = DensifyPlan(clone=flags(3, 0), split=flags(3, 1), prune=flags(3, 0, 1))
    assert surfels.apply(plan, tiny.generator()).source.tolist() == [2]


def test_a_ceiling_lowers_opacities_and_raises_none() -> None:
    surfels = made(6)
    with torch.no_grad():
        surfels.parameters["opacity"].copy_(torch.tensor([-9.0, -5.0, -1.0, 0.0, 1.0, 9.0]))
    none = flags(6)
    surfels.apply(DensifyPlan(none, none, none, opacity_ceiling=0.01), tiny.generator())
    opacity = torch.sigmoid(surfels.parameters["opacity"].detach())
    assert bool((opacity <= 0.01 + 1e-7).all())
    assert surfels.parameters["opacity"][0].item() == -9.0


def test_equal_generators_split_equally() -> None:
    first, second = made(), made()
    plan = DensifyPlan(clone=flags(6), split=flags(6, 2, 4), prune=flags(6))
    first.apply(plan, tiny.generator(3))
    second.apply(plan, tiny.generator(3))
    assert torch.equal(first.parameters["offset"], second.parameters["offset"])


def test_a_name_declared_twice_is_refused() -> None:
    assert merge_specs(EXTRA).keys() == {*CORE_PARAMETERS, "feature"}
    with pytest.raises(ContractError, match='"feature"'):
        merge_specs(EXTRA, EXTRA)
    with pytest.raises(ContractError, match='"opacity"'):
        merge_specs({"opacity": EXTRA["feature"]})


def test_surfels_grow_by_copies_of_some_behind_all() -> None:
    surfels = made()
    old = {name: value.detach().clone() for name, value in surfels.parameters.items()}
    host = surfels.triangle.clone()
    grown = Selection.grown(6, torch.tensor([4, 4, 1]))
    assert grown.source.tolist() == [0, 1, 2, 3, 4, 5, 4, 4, 1]
    assert grown.fresh.tolist() == [False] * 6 + [True] * 3
    generation, regions = surfels.generation, surfels.regions
    surfels.select(grown)
    assert surfels.generation != generation
    assert surfels.regions is not regions
    assert torch.equal(surfels.triangle, host[grown.source])
    for name, value in surfels.parameters.items():
        assert torch.equal(value.detach(), old[name][grown.source]), name
        assert value.requires_grad

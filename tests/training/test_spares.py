"""Surfels that are added after the last step: how many, where, and that those of no use go again."""

from __future__ import annotations

import math

import pytest
import torch

from surfhead.avatars.surfels import Surfels
from surfhead.core.parameters import ParameterSpec, Schedule
from surfhead.training.spares import NOTHING, add_spares, drop_spares, resemble, room
from tests.runs.tiny_run import tiny_avatar

PLUGIN = {"feature": ParameterSpec((2, 3), 0.5, Schedule(1e-3))}


@pytest.mark.parametrize(
    ("count", "most", "added"),
    [(1000, 0, 100), (1000, 2000, 100), (1000, 1030, 30), (1000, 1000, 0), (1000, 900, 0), (9, 0, 0)],
)
def test_a_tenth_may_be_added_up_to_the_limit(count: int, most: int, added: int) -> None:
    assert room(count, most) == added


def test_what_is_added_shows_nothing_and_goes_again_unless_it_is_made_to_show() -> None:
    """Also of a parameter that a plugin declares."""
    avatar = tiny_avatar()
    old = avatar.surfels
    count = len(old)
    values = {**old.parameters, "feature": torch.arange(6.0 * count).reshape(count, 2, 3)}
    surfels = Surfels({**old.specs, **PLUGIN}, values, old.triangle, old.topology)
    before = {name: value.detach().clone() for name, value in surfels.parameters.items()}
    generation = surfels.generation
    assert add_spares(surfels, 3).tolist() == [count, count + 1, count + 2]
    assert surfels.generation != generation
    assert surfels.parameters["feature"].shape == (count + 3, 2, 3)
    assert all(value.requires_grad and value.is_leaf for value in surfels.parameters.values())
    assert surfels.parameters["opacity"].detach()[count:].tolist() == [NOTHING] * 3
    with torch.no_grad():
        surfels.parameters["opacity"][:2] = NOTHING  # learnt, so that it stays
        surfels.parameters["opacity"][count + 1] = 2.0
    drop_spares(surfels, count)
    assert len(surfels) == count + 1 == len(surfels.triangle)
    for name, value in surfels.parameters.items():
        if name != "opacity":
            assert torch.equal(value.detach()[:count], before[name]), name
    assert surfels.parameters["opacity"].detach()[-1].item() == 2.0
    same = surfels.parameters["offset"]
    drop_spares(surfels, count)
    assert surfels.parameters["offset"] is same  # nothing was left to go


def test_added_surfels_resemble_the_best_seen_of_their_triangle_or_of_the_nearest() -> None:
    avatar = tiny_avatar()
    surfels = avatar.surfels
    with torch.no_grad():
        surfels.parameters["sh_dc"].copy_(torch.arange(3.0 * len(surfels)).reshape(-1, 3))
    surfels.rebind(torch.tensor([1]), surfels.triangle[:1])  # two on one triangle, none on another
    bare = 1
    assert bare not in surfels.triangle.tolist()
    weight = torch.linspace(1.0, 2.0, len(surfels))
    spares = add_spares(surfels, 2)
    weight = torch.cat((weight, torch.full((2,), math.inf)))
    resemble(avatar, spares, torch.tensor([int(surfels.triangle[0]), bare]), weight)
    colour = surfels.parameters["sh_dc"].detach()
    assert torch.equal(colour[spares[0]], colour[1])
    centre = avatar.rig.rest().frames.centroid
    away = (centre[surfels.triangle[: spares[0]]] - centre[bare]).norm(dim=1)
    near = torch.nonzero(away <= away.min() + 1e-6)[:, 0]
    assert (colour[spares[1]] == colour[near]).all(dim=1).any()
    assert surfels.triangle[spares].tolist() == [int(surfels.triangle[0])] * 2  # hosts are not taken

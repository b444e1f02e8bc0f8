"""Eyes that look at a point, on the built-in head, whatever its pose."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from surfhead.core.api import create
from surfhead.core.components import Rig
from surfhead.viewing.gaze import MOST, eyes_towards, rotation_between


@pytest.fixture(scope="module")
def head() -> Rig:
    rig: Rig = create("rig", "procedural")
    rig.prepare({})
    return rig


def directions(rig: Rig, pose: dict[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Each eyeball's centre and the way it looks: by its triangles' own region, turned from rest."""
    rest = rig.rest()
    ball = rest.topology.triangles[rest.topology.regions["eyeballs"]].unique()
    posed = rig(pose).vertices[0]
    found = []
    for side in (rest.vertices[ball, 0] > 0, rest.vertices[ball, 0] < 0):  # left, then right
        source, target = rest.vertices[ball[side]], posed[ball[side]]
        found.append((target.mean(dim=0), rotation_between(source, target) @ torch.tensor([0.0, 0.0, 1.0])))
    return found


POSES = {
    "rest": {},
    "turned": {"rotation": torch.tensor([[0.2, 0.5, -0.1]]), "neck": torch.tensor([[0.1, -0.2, 0.1]])},
    "moved": {"translation": torch.tensor([[0.1, 0.05, -0.2]]), "jaw": torch.tensor([[0.3, 0.0, 0.0]])},
}


@pytest.mark.parametrize("name", POSES)
def test_both_eyes_meet_the_point(head: Rig, name: str) -> None:
    pose = {"expression": torch.zeros(1, head.parameters()["expression"].size), **POSES[name]}
    straight = directions(head, pose)
    middle = (straight[0][0] + straight[1][0]) / 2
    ahead = (straight[0][1] + straight[1][1]) / 2
    point = middle + 0.5 * ahead + torch.tensor([0.12, -0.08, 0.0])
    pose["eyes"] = eyes_towards(head, pose, point)
    for centre, looks in directions(head, pose):
        aim = torch.nn.functional.normalize(point - centre, dim=0)
        assert float((looks @ aim).clamp(max=1.0).acos()) < 0.02
    assert float((directions(head, pose)[0][1] @ straight[0][1]).clamp(max=1.0).acos()) > 0.1


def test_eyes_turn_no_further_than_eyes_can(head: Rig) -> None:
    turn = eyes_towards(head, {"jaw": torch.zeros(1, 3)}, torch.tensor([0.0, 0.0, -5.0]))
    assert turn.shape == (1, 6)
    assert float(turn.reshape(2, 3).norm(dim=-1).max()) == pytest.approx(MOST, rel=1e-4)


def test_the_rotation_between_points_is_found_and_is_no_reflection() -> None:
    points = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)))[0]
    turn = turn * torch.linalg.det(turn)
    assert torch.allclose(rotation_between(points, points @ turn.mT + 0.3), turn, atol=1e-5)
    mirrored = rotation_between(points, points * torch.tensor([-1.0, 1.0, 1.0]))
    assert float(torch.linalg.det(mirrored)) == pytest.approx(1.0, abs=1e-5)

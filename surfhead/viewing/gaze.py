"""Eyes that look at a point, for any rig with a parameter of the role ``gaze``.

What an eyeball is and where its centre lies is found from the rig itself: its vertices are those that move
when its rotation does, and every rotation moves them about the centre. The head turns both eyes by one
rotation R, so that an eye at c looks at p when its own takes the rig's front to Rᵀ (p - c) / |p - c|.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from surfhead.core.components import Rig
from surfhead.core.rig_parameter import with_role

MOST = math.radians(40.0)  # eyes turn no further
PROBE = 0.3  # radians by which an eye is turned to see what moves
MOVED = 1e-5  # metres


def eyes_towards(rig: Rig, parameters: Mapping[str, Tensor], point: Tensor) -> Tensor:
    """(1, 3 E) rotation vectors of the eyes with which a posed head looks at a point, radians.

    Args:
        rig: prepared, with a parameter of the role ``gaze``.
        parameters: name -> (1, d), the pose; its eyes do not matter.
        point: (3,) in the world, metres.
    """
    known = rig.parameters()
    eyes = with_role(known, "gaze")
    assert eyes is not None
    size = known[eyes].size
    rest = rig.rest()
    front = torch.tensor(rest.topology.front, dtype=point.dtype, device=point.device)
    straight = {**parameters, eyes: point.new_zeros(1, size)}
    with torch.no_grad():
        posed = rig(straight).vertices[0]
        turns = []
        for first in range(0, size, 3):
            probe = straight[eyes].clone()
            probe[0, first + 1] = PROBE
            moved = (rig({**straight, eyes: probe}).vertices[0] - posed).norm(dim=-1) > MOVED
            if int(moved.sum()) < 4:
                turns.append(point.new_zeros(3))
                continue
            source, target = rest.vertices[moved].to(point.dtype), posed[moved]
            head = rotation_between(source, target)
            aim = torch.nn.functional.normalize(head.mT @ (point - target.mean(dim=0)), dim=0)
            turns.append(_turn(front, aim))
    return torch.cat(turns)[None]


def rotation_between(source: Tensor, target: Tensor) -> Tensor:
    """(3, 3) the rotation that best takes points (M, 3) to others about their centroids (Kabsch, 1976)."""
    spread = (target - target.mean(dim=0)).mT @ (source - source.mean(dim=0))
    left, _, right = torch.linalg.svd(spread.double())
    sign = torch.ones(3, dtype=left.dtype, device=left.device)
    sign[2] = torch.sign(torch.linalg.det(left @ right))
    turn: Tensor = (left * sign) @ right
    return turn.to(source.dtype)


def _turn(front: Tensor, aim: Tensor) -> Tensor:
    """(3,) the shortest rotation from one unit vector to another, at most ``MOST``."""
    axis = torch.linalg.cross(front, aim)
    sine, cosine = float(axis.norm()), float(front @ aim)
    if sine < 1e-9:
        return torch.zeros_like(front)
    turn: Tensor = axis / sine * min(math.atan2(sine, cosine), MOST)
    return turn

"""A rigid motion of the head, with the camera moving along, leaves the picture unchanged."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.avatars.surfels import Surfels, merge_specs
from surfhead.core.api import create
from surfhead.core.types import Cameras, Mesh
from surfhead.maths import geometry
from tests.runs.tiny_run import Octahedron

SIZE = 32


class Turned(Octahedron):
    """The octahedron, bent and then moved rigidly."""

    turn: Tensor = torch.eye(3, dtype=torch.float64)
    shift: Tensor = torch.zeros(3, dtype=torch.float64)
    bend: float = 1.0

    def __call__(self, parameters: dict[str, Tensor]) -> Mesh:  # type: ignore[override]
        rest = self._rest.vertices
        bent = rest + self.bend * (rest * rest.new_tensor([0.3, -0.2, 0.1]) + 0.3 * rest.roll(1, dims=1))
        return Mesh((bent @ self.turn.T + self.shift)[None], self._rest)


def avatar(deformer: str, **options: object) -> Avatar:
    """Random surfels on the octahedron in double precision, with highlights everywhere."""
    rig = Turned()
    rest = rig.prepare({})
    rig._rest = rest.to("cpu", torch.float64)
    chosen = create("deformer", deformer, options)
    look = create("appearance", "lasg", {"region": "all", "start": 0, "interval": 1})
    specs = merge_specs(chosen.parameters(), look.parameters())
    g = torch.Generator().manual_seed(4)
    surfels = Surfels.create(specs, torch.arange(8), rig._rest.topology, g)
    values = {
        name: value.detach().double() + 0.3 * torch.randn(value.shape, generator=g, dtype=torch.float64)
        for name, value in surfels.parameters.items()
    }
    network = look.network()
    assert network is not None
    network.double()
    for value in network.parameters():
        value.data = 0.3 * torch.randn(value.shape, generator=g, dtype=torch.float64)
    look.prepare(rig._rest)
    made = Avatar(
        Surfels(specs, values, surfels.triangle, surfels.topology),
        rig,
        chosen,
        look,
        create("rasterizer", "torch"),
        {},
        torch.ones(3, dtype=torch.float64),
    )
    made.advance(10)
    return made


@pytest.mark.parametrize(
    ("deformer", "options", "angle"),
    [
        ("similarity", {}, 2.9),
        ("jacobian", {}, 2.9),
        ("lbs", {}, 2.9),
        ("jbs", {}, 2.9),
        ("jbs", {"rotation_blend": "paper"}, 1.4),
    ],
)
def test_the_picture_moves_with_the_head(deformer: str, options: dict[str, object], angle: float) -> None:
    made = avatar(deformer, **options)
    assert isinstance(made.rig, Turned)
    # paper averages absolute rotations: it moves along up to the square of the neighbours' difference
    made.rig.bend, tolerance = (0.05, 1e-4) if options else (1.0, 1e-8)
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, :3] = torch.tensor([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]])
    pose[2, 3] = 0.6
    k = torch.tensor([[70.0, 0, 15.0], [0, 75.0, 17.0], [0, 0, 1]], dtype=torch.float64)
    axis = torch.tensor([0.3, -0.8, 0.5], dtype=torch.float64)
    turn = geometry.axis_angle_to_matrix(angle * axis / axis.norm())
    motion = torch.eye(4, dtype=torch.float64)
    motion[:3, :3], motion[:3, 3] = turn, torch.tensor([0.2, -0.1, 0.4])
    first = made.render(Cameras(pose[None], k[None], SIZE, SIZE), {}).output
    made.rig.turn, made.rig.shift = motion[:3, :3], motion[:3, 3]
    along = pose @ torch.linalg.inv(motion)
    second = made.render(Cameras(along[None], k[None], SIZE, SIZE), {}).output
    assert float(first.alpha.max()) > 0.05
    for name in ("rgb", "alpha", "normal", "depth"):
        error = float((getattr(first, name) - getattr(second, name)).abs().max())
        assert error < tolerance, f"{name} changed by {error:.1e} at {math.degrees(angle):.0f} degrees"

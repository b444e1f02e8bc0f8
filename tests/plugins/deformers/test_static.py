"""The deformer of scenes without a rig."""

from __future__ import annotations

import torch

from surfhead.core.api import Binding
from surfhead.plugins.deformers.static import Static

from .conftest import Patch


def test_offsets_are_world_positions() -> None:
    offset = torch.randn(5, 3)
    field = Static()(None, Binding(torch.full((5,), -1), {"offset": offset}))
    landed = (field.linear @ offset[:, :, None]).squeeze(-1) + field.origin
    torch.testing.assert_close(landed, offset[None])
    assert torch.equal(field.rotation, torch.eye(3).expand(1, 5, 3, 3))
    assert torch.equal(field.scale, torch.ones(1, 5))
    assert not Static.rig_bound


def test_a_mesh_only_gives_the_number_of_poses(patch: Patch) -> None:
    field = Static()(patch.mesh(patch.vertices(3)), patch.binding)
    assert field.linear.shape == (3, len(patch.binding), 3, 3)
    assert field.origin.dtype == torch.float64


def test_no_surfels() -> None:
    field = Static()(None, Binding(torch.zeros(0, dtype=torch.int64), {"offset": torch.zeros(0, 3)}))
    assert field.linear.shape == (1, 0, 3, 3)

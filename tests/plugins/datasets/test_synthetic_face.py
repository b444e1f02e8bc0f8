"""Where drawn pictures look for the face of a rig."""

from __future__ import annotations

import torch

from surfhead.core.api import RestMesh, Topology
from surfhead.plugins.datasets.synthetic.face import face_frame

VERTICES = torch.tensor([[-0.1, 0, 0], [0.1, 0, 0], [0.1, 0.24, 0], [-0.1, 0.24, 0.1]])
TRIANGLES = torch.tensor([[0, 1, 2], [0, 2, 3]])


def test_a_rig_without_two_eyeballs_is_framed_by_its_box() -> None:
    """Most corners of the marked triangle are on one side: there is no second eyeball to measure to."""
    neighbours = torch.tensor([[0, 0, 1], [0, 1, 1]])
    marked = {"eyeballs": torch.tensor([True, False])}
    found, bare = (
        face_frame(RestMesh(VERTICES, Topology(TRIANGLES, neighbours, regions))) for regions in (marked, {})
    )
    assert found.eye_radius == 0.0
    assert found.scale == bare.scale
    assert abs(found.scale - 0.24 / 240.0) < 1e-9
    assert (found.origin == bare.origin).all()

"""Tests of the empty rig."""

from __future__ import annotations

import pytest
import torch

from surfhead.core.api import ShapeError
from surfhead.plugins.rigs.none import NoRig


def test_it_is_an_empty_mesh_in_one_pose():
    rig = NoRig()
    rest = rig.prepare({})
    assert rest.vertices.shape == (0, 3)
    assert rest.topology.triangles.shape == (0, 3)
    assert rig({}).vertices.shape == (1, 0, 3)
    assert rig.parameters() == {}


def test_it_takes_neither_identity_nor_parameters():
    rig = NoRig()
    with pytest.raises(ShapeError, match='no identity, but was given "shape"'):
        rig.prepare({"shape": torch.zeros(3)})
    with pytest.raises(ShapeError, match='no parameter "jaw"'):
        rig({"jaw": torch.zeros(1, 3)})

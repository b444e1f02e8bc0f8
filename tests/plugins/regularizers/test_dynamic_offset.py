"""The size of vertex offsets against a hand value."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from surfhead.core.errors import ShapeError
from surfhead.plugins.regularizers.dynamic_offset import DynamicOffset
from surfhead.testing import steps


def test_it_is_the_mean_length_whether_flat_or_not() -> None:
    step = steps.random_step()
    vertices = step.mesh.vertices.shape[1]  # type: ignore[union-attr]
    offsets = torch.zeros(2, vertices, 3)
    offsets[1, 5] = torch.tensor([0.003, 0.0, -0.004])
    for shape in ((2, vertices, 3), (2, vertices * 3)):
        value = DynamicOffset()(replace(step, rig_parameters={"dynamic_offset": offsets.reshape(shape)}))
        assert value.item() == pytest.approx(0.005 / (2 * vertices), rel=1e-5)


def test_rigs_without_offsets_give_zero() -> None:
    assert DynamicOffset()(replace(steps.random_step(), rig_parameters={})).item() == 0.0


def test_offsets_that_do_not_fit_the_mesh_are_refused() -> None:
    step = replace(steps.random_step(), rig_parameters={"dynamic_offset": torch.zeros(2, 7)})
    with pytest.raises(ShapeError, match="dynamic_offset"):
        DynamicOffset()(step)

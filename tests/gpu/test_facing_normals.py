"""Normals on the cameras' side on the GPU, against PyTorch in double precision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from surfhead.kernels import ops
from tests.gpu.test_training import COUNT, VIEWS, agree, draw

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("mesh", [True, False])
def test_facing_normals(mesh: bool) -> None:
    quaternion = draw(COUNT, 4, seed=2).float() if mesh else None
    mean, centre = draw(VIEWS, COUNT, 3).float(), 0.5 * draw(VIEWS, 3, seed=3).float()

    def work(normal: Tensor) -> Tensor:
        still = None if quaternion is None else quaternion.to(normal)
        return ops.facing_normals(mean.to(normal), normal, still, centre.to(normal))

    agree(work, torch.nn.functional.normalize(draw(VIEWS, COUNT, 3, seed=1), dim=-1).float())

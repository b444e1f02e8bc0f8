"""The rasterizer ``gsplat``: what can be tested without a GPU, and agreement with surfhead's own on one."""

from __future__ import annotations

import pytest
import torch
from surfhead_gsplat.rasterizer import Gsplat, refuse_sheared

from surfhead.core.api import ShapeError


def test_sheared_surfels_are_refused() -> None:
    """Orthogonal tangents pass, sheared ones do not."""
    tangents = torch.tensor([[[[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]]]])
    refuse_sheared(tangents, tangents.norm(dim=-2))
    tangents[..., 0, 1] = 0.5
    with pytest.raises(ShapeError, match="sheared"):
        refuse_sheared(tangents, tangents.norm(dim=-2))


def test_only_gpus_are_supported() -> None:
    """``auto`` never picks it."""
    assert Gsplat.supports("cuda")
    assert not Gsplat.supports("cpu")
    assert Gsplat.priority < 0


@pytest.mark.skipif(Gsplat.available() is not None, reason=str(Gsplat.available()))
def test_draws_what_the_cuda_rasterizer_draws() -> None:
    """Colour, alpha and normals of the benchmark's head agree to a few thousandths on average."""
    from benchmarks.head_scene import head_scene
    from surfhead.plugins.rasterizers.cuda import Cuda

    scene = head_scene(20_000, 2)
    with torch.no_grad():
        own, other = Cuda()(*scene), Gsplat()(*scene)
    for name in ("rgb", "alpha", "normal", "depth"):
        assert float((getattr(own, name) - getattr(other, name)).abs().mean()) < 5e-3, name

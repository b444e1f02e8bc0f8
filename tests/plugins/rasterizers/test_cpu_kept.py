"""The CPU kernels keep the last view for its backward: nobody may notice but by the time it takes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from surfhead import kernels
from surfhead.kernels import cpu
from tests.plugins.rasterizers import scenes

pytestmark = pytest.mark.skipif(kernels.unavailable("cpu") is not None, reason="no native library")


def arguments(seed: int, dtype: torch.dtype = torch.float32) -> tuple[Any, ...]:
    """Two views of a scene, as the operator takes them."""
    drawing = scenes.mixed(seed, count=80, views=2, height=37, width=45)
    s, cameras = drawing.surfels, drawing.cameras
    views = cameras.camera_from_world.double()
    k = cameras.intrinsics.double()
    packed = torch.cat(
        [views[:, :3, :3].flatten(1), views[:, :3, 3], k[:, [0, 1, 0, 1], [0, 1, 2, 2]]], dim=1
    )
    tensors = [
        t.detach().to(dtype).contiguous()
        for t in (s.mean, s.tangents, s.normal, s.opacity, drawing.colour, drawing.background)
    ]
    return (*tensors, packed, drawing.pose_of_view, cameras.height, cameras.width, 0.01)


def backward(given: tuple[Any, ...], saved: list[Tensor], distortion: Tensor | None = None) -> list[Tensor]:
    """Gradients for fixed upstream ones of colour, alpha, normal and depth."""
    g = torch.Generator().manual_seed(1)
    picture = tuple(saved[1].shape)
    upstream = [
        torch.randn((*picture, *more), generator=g).to(given[0].dtype) for more in ((3,), (), (3,), ())
    ]
    return list(cpu._rasterize_backward(*given, saved, *upstream, None, distortion))


def drawn(given: tuple[Any, ...]) -> list[Tensor]:
    """What the backward reads of a forward."""
    named = dict(zip((*cpu.OUTPUTS, *cpu.SAVED), cpu._rasterize(*given), strict=True))
    return [named[name] for name in cpu.READ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_another_scene_in_between(dtype: torch.dtype) -> None:
    """Gradients are those of what is given, whatever was drawn last, at whatever place in memory."""
    one, two = arguments(1, dtype), arguments(2, dtype)
    saved = drawn(one)
    wanted = backward(one, saved)
    assert bool(wanted[0].any())
    drawn(two)
    assert all(torch.equal(a, b) for a, b in zip(backward(one, saved), wanted, strict=True))
    # the same tensors with other numbers in them
    saved_two, wanted_two = drawn(two), backward(two, drawn(two))
    drawn(one)
    for place, value in zip(one[:6], two[:6], strict=True):
        place.copy_(value)
    found = backward((*one[:6], *two[6:]), saved_two)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted_two, strict=True))
    other_near = (*two[:-1], 1e3)  # nothing is beyond it, so nothing gets a gradient
    assert not any(bool(g.any()) for g in backward(other_near, drawn(other_near))[:4])


def test_no_gradient_of_the_distortion_is_one_of_zeros() -> None:
    given = arguments(3)
    saved = drawn(given)
    found, wanted = backward(given, saved), backward(given, saved, torch.zeros_like(saved[1]))
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6 * float(theirs.abs().max()))

"""Consistency of the large form's normals against hand values."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from surfhead.core.errors import OptionError
from surfhead.core.types import Step
from surfhead.plugins.regularizers.coarse_normal import CoarseNormal
from surfhead.testing import steps

SIDE = 48
BLOCK = 4
BLOCKS = SIDE // BLOCK


def plane(normal: Tensor | None = None, depth: Tensor | None = None, mask: Tensor | None = None) -> Step:
    """A plane that faces the camera at half a metre, 48 pixels a side, or what is given in its place."""
    step = steps.perfect_step()
    views = len(step.output.depth)
    if depth is None:
        depth = torch.full((SIDE, SIDE), 0.5)
    if normal is None:
        normal = torch.tensor([0.0, 0.0, -1.0]).expand(SIDE, SIDE, 3)
    cameras = replace(step.batch.cameras, height=SIDE, width=SIDE)
    output = replace(
        step.output,
        depth=depth.expand(views, -1, -1).clone().requires_grad_(),
        normal=normal.expand(views, -1, -1, -1).clone().requires_grad_(),
        alpha=torch.ones(views, SIDE, SIDE),
    )
    masks = None if mask is None else mask.expand(views, -1, -1)
    return replace(step, output=output, batch=replace(step.batch, cameras=cameras, mask=masks))


def value(step: Step) -> Tensor:
    return CoarseNormal(CoarseNormal.Options(block=BLOCK))(step)


def turned(angle: Tensor) -> Tensor:
    """Normals turned about the column's axis by (H, W) radians."""
    return torch.stack((torch.sin(angle), torch.zeros_like(angle), -torch.cos(angle)), dim=-1)


def test_a_bend_of_the_large_form_counts() -> None:
    bent = turned(torch.full((SIDE, SIDE), 0.3))
    expected = 1.0 - torch.cos(torch.tensor(0.3)).item()
    assert value(plane(bent)).item() == pytest.approx(expected, rel=1e-4)
    assert value(plane()).item() == pytest.approx(0.0, abs=1e-6)


def test_relief_within_a_block_is_turned_as_a_whole() -> None:
    """Normals that lean left and right by turns feel what turns their mean, and nothing else."""
    stripes = torch.where(torch.arange(SIDE) % 2 == 0, 0.3, -0.3).expand(SIDE, SIDE)
    assert value(plane(turned(stripes))).item() == pytest.approx(0.0, abs=1e-6)
    step = plane(turned(stripes + 0.1))
    found = value(step)
    assert found.item() == pytest.approx(1.0 - torch.cos(torch.tensor(0.1)).item(), rel=1e-3)
    found.backward()
    gradient = step.output.normal.grad
    assert gradient is not None
    assert (gradient[..., 0] > 0).all()
    torch.testing.assert_close(gradient, gradient[:, :1, :1].expand_as(gradient), rtol=1e-4, atol=0.0)


def test_the_depth_is_pulled_towards_the_normals() -> None:
    step = plane(turned(torch.full((SIDE, SIDE), 0.1)))
    before = value(step)
    before.backward()
    slope = step.output.depth.grad
    assert slope is not None
    lower = step.output.depth.detach() - 1e-3 * slope / slope.abs().max()
    assert value(replace(step, output=replace(step.output, depth=lower))).item() < before.item()


def test_a_slanted_plane_has_its_normal() -> None:
    """Every block of a plane seen in perspective, in the picture's middle and at its corners."""
    normal = torch.nn.functional.normalize(torch.tensor([0.5, -0.3, -0.8]), dim=0)
    intrinsics = plane().batch.cameras.intrinsics[0]
    place = torch.arange(SIDE) + 0.5
    x = ((place - intrinsics[0, 2]) / intrinsics[0, 0]).expand(SIDE, SIDE)
    y = ((place - intrinsics[1, 2]) / intrinsics[1, 1])[:, None].expand(SIDE, SIDE)
    rays = torch.stack((x, y, torch.ones_like(x)), dim=-1)
    depth = 0.5 * normal[2] / (rays @ normal)
    assert depth.min() > 0.2
    assert value(plane(normal.expand(SIDE, SIDE, 3), depth)).item() == pytest.approx(0.0, abs=2e-4)
    assert value(plane(depth=depth)).item() == pytest.approx(1.0 + normal[2].item(), abs=2e-3)


def test_blocks_at_the_mask_and_at_jumps_hardly_count() -> None:
    bent = turned(torch.full((SIDE, SIDE), 0.3))
    mask = torch.full((SIDE, SIDE), 255, dtype=torch.uint8)
    mask[:, 21:] = 0  # cuts the sixth column of blocks
    whole = value(plane(bent)).item()
    assert value(plane(bent, mask=mask)).item() == pytest.approx(whole * 5 / BLOCKS, rel=1e-4)
    depth = torch.full((SIDE, SIDE), 0.5)
    depth[:, 22:] = 2.0  # within the sixth column of blocks
    step = plane(bent, depth)
    value(step).backward()
    gradient = step.output.normal.grad
    assert gradient is not None
    assert float(gradient[:, :, 20:24].abs().max()) < 1e-3 * float(gradient.abs().max())
    assert (gradient[:, :, :20] != 0).any(dim=-1).all()
    assert (gradient[:, :, 24:] != 0).any(dim=-1).all()
    depth[:] = 0.0
    depth[:4, :4] = 0.5  # elsewhere nothing was drawn
    step = plane(bent, depth)
    found = value(step)
    found.backward()
    assert found.item() == pytest.approx(whole / BLOCKS**2, rel=1e-4)
    assert step.output.depth.grad is not None
    assert step.output.depth.grad.isfinite().all()


def test_a_picture_smaller_than_a_block_has_none() -> None:
    step = steps.random_step()
    found = CoarseNormal(CoarseNormal.Options(block=64))(step)
    assert found.item() == 0.0
    found.backward()


@pytest.mark.parametrize("block", [1, 65])
def test_a_block_out_of_range_is_refused(block: int) -> None:
    with pytest.raises(OptionError, match="block"):
        CoarseNormal(CoarseNormal.Options(block=block))

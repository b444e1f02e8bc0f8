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
INSIDE = (BLOCKS - 2) ** 2 / BLOCKS**2  # of the blocks have a normal of the depth


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
    expected = (1.0 - torch.cos(torch.tensor(0.3)).item()) * INSIDE
    assert value(plane(bent)).item() == pytest.approx(expected, rel=1e-4)
    assert value(plane()).item() == pytest.approx(0.0, abs=1e-6)


def test_relief_within_a_block_is_turned_as_a_whole() -> None:
    """Normals that lean left and right by turns feel what turns their mean, and nothing else."""
    stripes = torch.where(torch.arange(SIDE) % 2 == 0, 0.3, -0.3).expand(SIDE, SIDE)
    assert value(plane(turned(stripes))).item() == pytest.approx(0.0, abs=1e-6)
    step = plane(turned(stripes + 0.1))
    found = value(step)
    assert found.item() == pytest.approx((1.0 - torch.cos(torch.tensor(0.1)).item()) * INSIDE, rel=1e-3)
    found.backward()
    gradient = step.output.normal.grad
    assert gradient is not None
    blocks = gradient[:, BLOCK:-BLOCK, BLOCK:-BLOCK]
    assert (blocks[..., 0] > 0).all()
    torch.testing.assert_close(blocks, blocks[:, :1, :1].expand_as(blocks), rtol=1e-4, atol=0.0)


def test_the_depth_is_pulled_towards_the_normals() -> None:
    step = plane(turned(torch.full((SIDE, SIDE), 0.1)))
    before = value(step)
    before.backward()
    slope = step.output.depth.grad
    assert slope is not None
    lower = step.output.depth.detach() - 1e-3 * slope / slope.abs().max()
    assert value(replace(step, output=replace(step.output, depth=lower))).item() < before.item()


def test_blocks_at_the_mask_and_at_jumps_do_not_count() -> None:
    bent = turned(torch.full((SIDE, SIDE), 0.3))
    mask = torch.full((SIDE, SIDE), 255, dtype=torch.uint8)
    mask[:, 21:] = 0  # the sixth column of blocks is cut, beside which there are no differences
    whole = value(plane(bent)).item()
    assert value(plane(bent, mask=mask)).item() == pytest.approx(whole * 3 / (BLOCKS - 2), rel=1e-4)
    depth = torch.full((SIDE, SIDE), 0.5)
    depth[:, 22:] = 0.7  # within the sixth column of blocks
    step = plane(bent, depth)
    value(step).backward()
    gradient = step.output.normal.grad
    assert gradient is not None
    assert (gradient[:, :, 16:28] == 0).all()
    assert (gradient[:, BLOCK:-BLOCK, 4:16] != 0).any(dim=-1).all()


def test_a_picture_of_fewer_than_three_blocks_has_none() -> None:
    step = steps.random_step()
    found = CoarseNormal(CoarseNormal.Options(block=64))(step)
    assert found.item() == 0.0
    found.backward()


@pytest.mark.parametrize("block", [1, 65])
def test_a_block_out_of_range_is_refused(block: int) -> None:
    with pytest.raises(OptionError, match="block"):
        CoarseNormal(CoarseNormal.Options(block=block))

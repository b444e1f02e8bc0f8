"""Normal consistency against hand values."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from surfhead.core.errors import OptionError
from surfhead.core.types import Step
from surfhead.plugins.regularizers.normal import Normal
from surfhead.testing import steps

INSIDE = (steps.HEIGHT - 2) * (steps.WIDTH - 2)
TURNED = torch.tensor([0.0, 0.6, -0.8])


def facing_plane(turned_columns: int = 0) -> Step:
    """A plane at constant depth; the first columns' rendered normals are turned to a cosine of 0.8."""
    step = steps.perfect_step()
    normal = step.output.normal.detach().clone()
    normal[:, :, :turned_columns] = TURNED
    return replace(step, output=replace(step.output, normal=normal.requires_grad_()))


def test_without_a_mask_it_is_the_mean_over_the_picture() -> None:
    step = facing_plane(turned_columns=11)
    step = replace(step, batch=replace(step.batch, mask=None))
    expected = 0.2 * 10 * (steps.HEIGHT - 2) / (steps.HEIGHT * steps.WIDTH)
    assert Normal()(step).item() == pytest.approx(expected, rel=1e-4)


def test_the_mask_limits_it_to_the_foreground() -> None:
    step = facing_plane(turned_columns=11)
    mask = torch.zeros(2, steps.HEIGHT, steps.WIDTH, dtype=torch.uint8)
    mask[:, 1:-1, 6:16] = 255  # five turned columns and five that agree
    step = replace(step, batch=replace(step.batch, mask=mask))
    over_mask = Normal(Normal.Options(mean="mask"))(step).item()
    assert over_mask == pytest.approx(0.1, rel=1e-4)
    # as published: the mask's pixels alone, divided by all of the picture
    share = 10 * (steps.HEIGHT - 2) / (steps.HEIGHT * steps.WIDTH)
    assert Normal()(step).item() == pytest.approx(0.1 * share, rel=1e-4)
    whole = Normal(Normal.Options(masked=False))(step).item()
    assert whole == pytest.approx(0.2 * 10 * (steps.HEIGHT - 2) / (steps.HEIGHT * steps.WIDTH), rel=1e-4)


def test_alpha_shortens_the_depth_normal_without_a_gradient() -> None:
    step = facing_plane()
    alpha = torch.full_like(step.output.alpha, 0.6).requires_grad_()
    step = replace(step, output=replace(step.output, alpha=alpha))
    value = Normal()(step)
    value.backward()
    assert value.item() == pytest.approx(0.4 * INSIDE / (steps.HEIGHT * steps.WIDTH), rel=1e-4)
    assert alpha.grad is None
    assert step.output.normal.grad is not None
    torch.testing.assert_close(
        step.output.normal.grad[0, 5, 5, 2].item(), 0.6 / (2 * steps.HEIGHT * steps.WIDTH)
    )


def test_the_depth_ratio_picks_the_depth_that_learns() -> None:
    for ratio, expected, median in ((0.0, True, False), (1.0, False, True), (0.5, True, True)):
        step = steps.random_step()
        Normal(Normal.Options(depth_ratio=ratio))(step).backward()
        assert (step.output.depth.grad is not None) == expected
        assert (step.output.median_depth.grad is not None) == median


@pytest.mark.parametrize("ratio", [-0.1, 1.1, float("nan")])
def test_a_depth_ratio_out_of_range_is_refused(ratio: float) -> None:
    with pytest.raises(OptionError, match="depth_ratio"):
        Normal(Normal.Options(depth_ratio=ratio))


def test_the_published_weight_and_start() -> None:
    assert (Normal.weight, Normal.start) == (0.05, 70 / 300)

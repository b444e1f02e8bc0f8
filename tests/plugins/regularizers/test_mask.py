"""The silhouette term against a hand value."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from surfhead.core.errors import DataError
from surfhead.plugins.regularizers.mask import Mask
from surfhead.testing import steps


def test_it_is_the_mean_absolute_error_of_alpha() -> None:
    step = steps.random_step()
    alpha = torch.tensor([[[0.25, 1.0], [0.0, 0.9]]], requires_grad=True)
    truth = torch.tensor([[[255, 255], [0, 51]]], dtype=torch.uint8)
    step = replace(step, batch=replace(step.batch, mask=truth), output=replace(step.output, alpha=alpha))
    value = Mask()(step)
    assert value.item() == pytest.approx((0.75 + 0.7) / 4)
    value.backward()
    torch.testing.assert_close(alpha.grad, torch.tensor([[[-0.25, 0.0], [0.0, 0.25]]]))


def test_data_without_masks_is_refused_with_the_views_named() -> None:
    with pytest.raises(DataError, match="view 0, view 1") as caught:
        Mask()(steps.random_step(mask=False))
    assert len(str(caught.value).splitlines()) == 3

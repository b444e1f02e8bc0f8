"""Colours of values: the ends and the middle of each scale, and colours that tell numbers apart."""

from __future__ import annotations

import torch

from surfhead.drawing.colour_maps import (
    LONGER,
    NEUTRAL,
    SHORTER,
    distinct_colours,
    normal_colours,
    ratio_colours,
)


def test_ratios_are_coloured_on_a_logarithmic_scale() -> None:
    found = ratio_colours(torch.tensor([0.1, 0.5, 2**-0.5, 1.0, 2**0.5, 2.0, 9.0]), 2.0)
    shorter, neutral, longer = (torch.tensor(colour) for colour in (SHORTER, NEUTRAL, LONGER))
    expected = [shorter, shorter, (shorter + neutral) / 2, neutral, (neutral + longer) / 2, longer, longer]
    torch.testing.assert_close(found, torch.stack(expected))


def test_every_number_has_a_colour_of_its_own() -> None:
    colours = distinct_colours(torch.arange(-1, 20_000))
    assert colours.shape == (20_001, 3)
    assert torch.equal(colours[0], torch.full((3,), 0.5))
    assert 0.0 <= float(colours.min()) < float(colours.max()) <= 1.0
    assert len(torch.unique(colours, dim=0)) == 20_001
    assert float((colours[2:] - colours[1:-1]).norm(dim=-1).min()) > 0.25  # neighbours differ much
    # random colours would come about 0.002 close somewhere; an even cover keeps off that
    assert float(torch.pdist(colours[1:2001]).min()) > 0.01


def test_normals_are_red_to_the_right_green_upwards_and_blue_towards_the_camera() -> None:
    right, up, near = torch.tensor([[2.0, 0, 0], [0, -0.1, 0], [0, 0, -1]])  # OpenCV axes, any length
    found = normal_colours(torch.stack([right, up, near, torch.zeros(3)]))
    expected = torch.tensor([[1, 0.5, 0.5], [0.5, 1, 0.5], [0.5, 0.5, 1], [0.5, 0.5, 0.5]])
    torch.testing.assert_close(found, expected)

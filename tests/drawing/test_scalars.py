"""Colours of numbers: ranges, percentiles, maps, and the bar that says what they mean."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from surfhead.core.errors import OptionError, UnknownNameError
from surfhead.drawing.channels import paint
from surfhead.drawing.colour_bar import with_bar
from surfhead.drawing.colour_maps import MAPS, mapped, table
from surfhead.drawing.scalars import SCALARS, Legend, Scale
from surfhead.testing import tiny
from tests.drawing.test_channels import visible_avatar

VALUES = torch.linspace(0.0, 1.0, 101)[None]
ALL = torch.ones(1, 101, dtype=torch.bool)


def test_a_range_is_the_channels_own_or_the_pictures_or_what_was_asked_for() -> None:
    def span(scale: Scale, channel: str, drawn: torch.Tensor = ALL) -> tuple[float, float]:
        legend = scale.legend(channel, VALUES, drawn)
        return legend.low, legend.high

    assert span(Scale(), "observed") == (0.0, 1.0)
    assert span(Scale(), "stretch") == (1 / 1.5, 1.5)
    assert span(Scale(), "depth") == pytest.approx((-0.1, 1.1))
    assert span(Scale(), "depth", VALUES > 0.495) == pytest.approx((0.45, 1.05))
    assert span(Scale(span=(0.2, 0.3)), "depth") == (0.2, 0.3)
    assert span(Scale(percentile=5.0), "observed") == pytest.approx((0.05, 0.95))
    assert span(Scale(percentile=10.0), "depth", VALUES > 0.495) == pytest.approx((0.55, 0.95))
    low, high = span(Scale(percentile=5.0), "depth", VALUES == 0.5)
    assert low < 0.5 < high  # one value alone has a range, too
    noise = Scale(percentile=5.0).legend("observed", 0.5 + 1e-6 * VALUES, ALL)
    assert noise.high - noise.low == pytest.approx(0.01)
    assert span(Scale(percentile=5.0), "stretch", ~ALL) == (1 / 1.5, 1.5)  # nothing is drawn


def test_a_film_keeps_the_range_of_its_first_picture_that_shows_anything() -> None:
    scale = Scale(hold=True)
    scale.legend("depth", VALUES, ~ALL)
    assert scale.legends == {}
    first = scale.legend("depth", VALUES, ALL)
    assert scale.legend("depth", VALUES + 5, ALL) == first
    assert Scale().legend("depth", VALUES + 5, ALL).low == pytest.approx(4.9)


def test_colours_go_from_one_end_of_the_map_to_the_other() -> None:
    for name in MAPS:
        legend = Legend("observed", 2.0, 4.0, name)
        found = legend.colours(torch.tensor([1.0, 2.0, 3.0, 4.0, 9.0]))
        ends = mapped(torch.tensor([0.0, 0.5, 1.0]), name)
        torch.testing.assert_close(found, ends[[0, 0, 1, 2, 2]])
        assert float((ends[0] - ends[2]).abs().max()) > 0.25, name
        torch.testing.assert_close(mapped(torch.linspace(0, 1, 256), name), table(name), atol=1e-5, rtol=0)
    near = Legend("depth", 2.0, 4.0, "grey", falling=True).colours(torch.tensor([2.0, 2.5, 4.0]))
    assert near[:, 0].tolist() == [1.0, 0.75, 0.0]
    ratio = Legend("stretch", 0.5, 2.0, "grey", log=True).colours(torch.tensor([0.5, 1.0, 2.0**0.5, 2.0]))
    torch.testing.assert_close(ratio[:, 0], torch.tensor([0.0, 0.5, 0.75, 1.0]))


def test_the_bar_shows_the_map_and_leaves_the_rest_alone() -> None:
    picture = np.full((300, 400, 3), 255, np.uint8)
    legend = Legend("depth", 0.5, 0.75, "viridis", "m")
    found = with_bar(picture, legend)
    changed = (found != 255).any(axis=-1)
    rows, columns = changed.nonzero()
    assert rows.min() > 150
    assert columns.max() < 250
    strip = (legend.strip(3) * 255).round().numpy()
    for colour in strip[[0, 2]]:
        assert (np.abs(found.astype(int) - colour).max(axis=-1) <= 1).any()
    assert np.array_equal(with_bar(picture[:40, :40], legend), picture[:40, :40])  # too small to read
    assert legend.words == "depth 0.5 to 0.75 m, viridis"


def test_paint_obeys_a_scale_and_tells_what_it_did() -> None:
    avatar, camera = visible_avatar(), tiny.cameras(1, 96, 128, distance=0.5)
    plain = paint(avatar, camera, 0, ["depth", "alpha"])
    scale = Scale(colour_map="turbo", percentile=2.0)
    found = paint(avatar, camera, 0, ["depth"], scale=scale)["depth"]
    output = avatar.render(camera, 0).output
    alpha = output.alpha[0][..., None]
    colours = scale.legends["depth"].colours(output.depth[0])
    torch.testing.assert_close(found, (colours * alpha + (1 - alpha) * avatar.background).clamp(0, 1))
    solid = output.depth[output.alpha > 0.5]
    outside = (solid < scale.legends["depth"].low) | (solid > scale.legends["depth"].high)
    assert 0.02 < float(outside.float().mean()) < 0.06
    barred = paint(avatar, camera, 0, ["depth", "alpha", "rgb"], scale=Scale(bar=True))
    assert float((barred["depth"] - plain["depth"]).abs().max()) > 0.3
    assert set(SCALARS) >= {"depth", "alpha"}
    torch.testing.assert_close(barred["alpha"][:40], plain["alpha"][:40], atol=0.003, rtol=0)


def test_a_bad_scale_is_named() -> None:
    with pytest.raises(UnknownNameError, match='"virdis". Did you mean "viridis"'):
        Scale(colour_map="virdis")
    with pytest.raises(OptionError, match='"range" is 2 to 1'):
        Scale(span=(2.0, 1.0))
    with pytest.raises(OptionError, match='"percentile" is 50'):
        Scale(percentile=50.0)
    with pytest.raises(OptionError, match="both given"):
        Scale(span=(0.0, 1.0), percentile=2.0)

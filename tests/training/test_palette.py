"""Colours that aslant pictures alone have taught are snapped to what is seen straight round about."""

from __future__ import annotations

import torch

from surfhead.training.palette import palette

HAIR, SKIN = torch.tensor([0.06, 0.04, 0.03]), torch.tensor([0.78, 0.57, 0.46])
VIOLET, RED, PALE = (
    torch.tensor(rgb) for rgb in ([0.30, 0.28, 0.36], [0.80, 0.35, 0.30], [0.95, 0.85, 0.83])
)
ASLANT = 0.015  # metres, half of a strip that is seen aslant alone


def strip() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Places, colours and how well seen straight on a plane: hair above, skin below, outliers in a strip.

    Every seventh surfel of the strip is one: violet, red or pale.
    """
    generator = torch.Generator().manual_seed(0)
    places = (torch.rand(12_000, 3, generator=generator) - 0.5) * torch.tensor([0.1, 0.1, 0.0])
    above = places[:, 1] > 0.0
    colours = torch.where(above[:, None], HAIR, SKIN)
    colours = (colours + 0.01 * torch.randn(len(places), 3, generator=generator)).clamp(0.0, 1.0)
    aslant = places[:, 0].abs() < ASLANT
    outliers = torch.nonzero(aslant)[::7, 0]
    colours[outliers] = torch.stack((VIOLET, RED, PALE))[torch.arange(len(outliers)) % 3]
    return places, colours, torch.where(aslant, 0.0, 50.0), outliers


def recoloured() -> tuple[torch.Tensor, ...]:
    """The strip, which of it is changed, and all colours afterwards."""
    places, colours, straight, outliers = strip()
    normals = torch.tensor([0.0, 0.0, 1.0]).expand_as(places)
    changed, found = palette(places, normals, colours, straight, 0.05)
    return places, colours, straight, outliers, changed, colours.index_copy(0, changed, found)


def test_outliers_beside_a_border_take_the_likelier_side() -> None:
    places, colours, _, outliers, changed, after = recoloured()
    assert bool(torch.isin(outliers, changed).all())
    near = outliers[places[outliers, 1].abs() < 0.003]
    dark = (colours[near] - HAIR).norm(dim=1) < (colours[near] - SKIN).norm(dim=1)
    assert 4 < int(dark.sum()) < len(near) - 4
    torch.testing.assert_close(after[near], torch.where(dark[:, None], HAIR, SKIN), atol=0.05, rtol=0)


def test_outliers_away_from_a_border_take_what_is_beside_them() -> None:
    """Though violet is more like hair than like skin, and red like skin: no fleck of one in the other."""
    places, _, _, outliers, _, after = recoloured()
    far = outliers[places[outliers, 1].abs() > 0.025]
    above = places[far, 1] > 0.0
    assert min(int(above.sum()), int((~above).sum())) > 40
    torch.testing.assert_close(after[far], torch.where(above[:, None], HAIR, SKIN), atol=0.05, rtol=0)


def test_a_border_stays_as_sharp_as_it_was() -> None:
    """No surfel gets a colour between those of hair and skin, and what was no outlier keeps its side."""
    places, colours, straight, outliers, _, after = recoloured()
    away = torch.stack(((after - HAIR).norm(dim=1), (after - SKIN).norm(dim=1)))
    assert float(away.amin(dim=0).max()) < 0.1
    usual = torch.ones(len(places), dtype=torch.bool).index_fill_(0, outliers, False)
    assert int((usual & (straight == 0.0)).sum()) > 2000
    assert float((after - colours)[usual].norm(dim=1).max()) < 0.04


def test_what_is_seen_straight_keeps_its_bits() -> None:
    _, _, straight, _, changed, _ = recoloured()
    assert float(straight[changed].max()) == 0.0
    assert len(changed) < 0.4 * int((straight == 0.0).sum())


def test_the_better_seen_changes_the_less() -> None:
    places, colours, straight, outliers = strip()
    normals = torch.tensor([0.0, 0.0, 1.0]).expand_as(places)
    straight[outliers[::2]] = 0.025  # a third of the way to what counts as seen
    changed, found = palette(places, normals, colours, straight, 0.05)
    moved = torch.zeros(len(places)).index_copy(0, changed, (found - colours[changed]).norm(dim=1))
    half, whole = moved[outliers[::2]], moved[outliers[1::2]]
    assert 0.6 < float(half.mean() / whole.mean()) < 0.75


def test_nothing_is_taken_from_where_nothing_is_near() -> None:
    places, colours, straight, _ = strip()
    normals = torch.tensor([0.0, 0.0, 1.0]).expand_as(places)
    places = torch.where(straight[:, None] == 0.0, places + torch.tensor([0.0, 0.0, 0.3]), places)
    assert len(palette(places, normals, colours, straight, 0.05)[0]) == 0
    assert len(palette(places, normals, colours, torch.zeros_like(straight), 0.05)[0]) == 0


def test_surfels_too_far_apart_tell_nothing_of_each_other() -> None:
    places = torch.arange(8.0)[:, None] * torch.tensor([0.5, 0.0, 0.0])
    normals = torch.tensor([0.0, 0.0, 1.0]).expand_as(places)
    straight = torch.tensor([50.0] * 6 + [0.0] * 2)
    colours = torch.linspace(0.0, 1.0, 8)[:, None].expand(8, 3)
    assert len(palette(places, normals, colours, straight, 0.05)[0]) == 0

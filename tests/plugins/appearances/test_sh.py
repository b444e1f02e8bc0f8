"""Harmonic colours and the schedule of their degree."""

from __future__ import annotations

import pytest
import torch

from surfhead.core.api import OptionError
from surfhead.maths import harmonics
from surfhead.plugins.appearances.sh import Sh

from .conftest import View, lit, make_binding, make_view


def test_colour_by_hand(view: View) -> None:
    model = lit(Sh())
    binding = make_binding(model)
    colour = view.colour(model, binding).rgb
    values = harmonics.basis(view.directions, 3)
    for channel in range(3):
        dc = binding.parameters["sh_dc"][:, channel : channel + 1]
        every = torch.cat((dc, binding.parameters["sh_rest"][:, :, channel]), dim=1)
        torch.testing.assert_close(
            colour[..., channel], ((values * every).sum(-1) + 0.5).clamp_min(0), rtol=0, atol=1e-14
        )


def test_negative_colours_are_clamped(view: View) -> None:
    model = Sh()
    binding = make_binding(model)
    binding.parameters["sh_dc"].fill_(-5.0)
    assert torch.equal(view.colour(model, binding).rgb, torch.zeros(3, 9, 3, dtype=torch.float64))


def test_degree_rises_with_the_images_seen(view: View) -> None:
    model = Sh()
    binding = make_binding(model)
    stages = []
    for images in (0, 999, 1000, 2500, 3000, 10**6):
        model.advance(images)
        stages.append(model.stage())
        low = harmonics.size(stages[-1][0]) - 1
        changed = {**binding.parameters, "sh_rest": binding.parameters["sh_rest"].clone()}
        changed["sh_rest"][:, low:] = 99.0
        other = type(binding)(binding.triangle, changed, binding.regions)
        torch.testing.assert_close(view.colour(model, other).rgb, view.colour(model, binding).rgb)
    assert stages == [(0,), (0,), (1,), (2,), (3,), (3,)]


def test_full_degree_at_once_and_degree_zero(view: View) -> None:
    assert Sh(Sh.Options(degree=2, interval=0)).stage() == (2,)
    model = Sh(Sh.Options(degree=0))
    assert set(model.parameters()) == {"sh_dc"}
    colour = view.colour(lit(model), make_binding(model)).rgb
    torch.testing.assert_close(colour[0], colour[2])


def test_declared_parameters() -> None:
    specs = Sh().parameters()
    assert specs["sh_dc"].shape == (3,)
    assert specs["sh_rest"].shape == (15, 3)
    assert {spec.group for spec in specs.values()} == {"sh"}
    assert specs["sh_rest"].rate.at(0, 1) == pytest.approx(specs["sh_dc"].rate.at(0, 1) / 20)
    start = specs["sh_dc"].start(200, torch.Generator().manual_seed(0))
    colours = harmonics.Y00 * start + 0.5
    assert 0.5 <= float(colours.min()) < float(colours.max()) <= 0.5 + harmonics.Y00 / 255  # mid-grey
    assert not specs["sh_rest"].start(2, torch.Generator()).any()


def test_part(view: View) -> None:
    model = lit(Sh())
    colour = view.colour(model, make_binding(model), parts=True)
    assert set(colour.parts) == {"diffuse"}
    assert torch.equal(colour.parts["diffuse"], colour.rgb)
    assert view.colour(model, make_binding(model)).parts == {}


def test_gradients() -> None:
    model = lit(Sh())
    view = make_view(2, 3)
    binding = make_binding(model, 3)
    names = list(binding.parameters)

    def rgb(directions: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        given = type(binding)(binding.triangle, dict(zip(names, values, strict=True)), binding.regions)
        return model(given, directions, view.normals, view.rotation).rgb

    inputs = [view.directions, *binding.parameters.values()]
    assert torch.autograd.gradcheck(rgb, [value.clone().requires_grad_() for value in inputs])


def test_no_surfels() -> None:
    model = lit(Sh())
    assert make_view(2, 0).colour(model, make_binding(model, 0)).rgb.shape == (2, 0, 3)


@pytest.mark.parametrize(("key", "value"), [("degree", 4), ("degree", -1), ("interval", -1)])
def test_options_out_of_range(key: str, value: int) -> None:
    with pytest.raises(OptionError, match=f'"{key}" of appearance "sh" is {value}'):
        Sh(Sh.Options(**{key: value}))

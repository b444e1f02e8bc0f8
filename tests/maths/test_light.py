"""Light as harmonics: against sums over directions, turned, and by name."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from surfhead.core.errors import UnknownNameError
from surfhead.core.named_light import named_light as named
from surfhead.maths import harmonics
from surfhead.maths.lamps import LAMPS, STUDIO
from surfhead.maths.light import Light, about_up, directions_of, harmonic_turn, projected
from surfhead.testing import tiny


def unit(count: int, seed: int = 0) -> Tensor:
    random = tiny.generator(seed)
    return torch.nn.functional.normalize(torch.randn(count, 3, generator=random), dim=-1)


def some_light(degree: int = 3) -> Light:
    return Light(torch.randn(harmonics.size(degree), 3, generator=tiny.generator(1)))


def test_shading_is_what_the_half_sphere_sends() -> None:
    light, normals, directions = some_light(), unit(5), unit(400_000, 2)
    cosine = (directions @ normals.T).clamp_min(0.0)
    exact = 4.0 * cosine.T @ light.radiance(directions) / len(directions)
    torch.testing.assert_close(light.shading(normals), exact, atol=0.03, rtol=0.0)


def test_a_turned_light_comes_from_turned_directions() -> None:
    light, turn, directions = some_light(), tiny.rotation(1.1, 3), unit(40)
    torch.testing.assert_close(
        light.turned(turn).radiance(directions @ turn.mT), light.radiance(directions), atol=1e-5, rtol=1e-5
    )


def test_turns_add_up_and_keep_bands_apart() -> None:
    first, second = tiny.rotation(0.7, 1).double(), tiny.rotation(-1.9, 2).double()
    both = harmonic_turn(second @ first, 3)
    torch.testing.assert_close(harmonic_turn(second, 3) @ harmonic_turn(first, 3), both, atol=1e-6, rtol=0.0)
    assert both[1:4, 4:].abs().max() < 1e-6


def test_about_up_turns_the_face_side_to_the_right() -> None:
    # +z goes to +x, so +x goes to -z, and up stays
    expected = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]]).double()
    torch.testing.assert_close(about_up(90.0), expected)


def test_a_picture_of_the_world_looks_from_the_face_to_the_camera_and_back() -> None:
    """Up is on top; the two middle columns are on either side of -z, the right one towards +x."""
    h, d = math.sqrt(0.5), 0.5  # rows at 45 and 135 degrees from up, columns at odd multiples of 45 degrees
    upper = torch.tensor([[-d, h, d], [-d, h, -d], [d, h, -d], [d, h, d]])
    expected = torch.stack([upper, upper * torch.tensor([1.0, -1.0, 1.0])])
    torch.testing.assert_close(directions_of(2, 4), expected)


def test_the_projection_of_a_picture_gives_back_its_harmonics() -> None:
    light = some_light()
    picture = light.radiance(directions_of(96, 192))
    found = torch.from_numpy(projected(picture.numpy(), 3)).float()
    torch.testing.assert_close(found, light.coefficients, atol=2e-3, rtol=0.0)


def test_normalised_light_has_mean_one() -> None:
    light = some_light()
    light = Light(light.coefficients.abs())
    made = light.normalised().mean
    assert made.mean().item() == pytest.approx(1.0)
    torch.testing.assert_close(made / made[0], light.mean / light.mean[0])  # as coloured as it was
    torch.testing.assert_close(light.normalised(coloured=False).mean, torch.ones(3))


def test_mixing_goes_from_one_to_the_other() -> None:
    first, second = some_light(2), some_light(3)
    torch.testing.assert_close(first.mixed(second, 0.0).coefficients, first.up_to(3).coefficients)
    torch.testing.assert_close(first.mixed(second, 1.0).coefficients, second.coefficients)


@pytest.mark.parametrize("rows", [0, 5, 25])
def test_other_numbers_of_coefficients_are_refused(rows: int) -> None:
    with pytest.raises(ValueError):
        Light(torch.zeros(rows, 3))


def test_coefficients_that_are_not_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        Light(torch.full((9, 3), math.nan))


@pytest.mark.parametrize("name", LAMPS)
def test_harmonics_of_named_lights_are_their_shading(name: str) -> None:
    normals = unit(500)
    apart = (named(name).light().shading(normals) - named(name).shading(normals)).abs()
    # a second-order fit of soft lamps: within a few hundredths everywhere
    assert apart.mean() < 0.03
    assert apart.max() < 0.1


def test_a_lamp_on_the_left_lights_the_left() -> None:
    sides = named("window").light().shading(torch.tensor([[-1.0, 0, 0], [1, 0, 0]]))
    assert bool((sides[0] > 2 * sides[1]).all())


def test_an_unknown_light_is_named_with_those_there_are() -> None:
    with pytest.raises(UnknownNameError, match="studio"):
        named("studioo")


def test_the_built_in_data_is_drawn_under_the_studio() -> None:
    from surfhead.plugins.datasets.synthetic.synthetic import Synthetic

    assert Synthetic.Options().light == STUDIO.name

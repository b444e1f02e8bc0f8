"""The page's light: which light a shot is drawn under, and that the avatar is left as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from surfhead.maths.lamps import LAMPS, lamp_from
from surfhead.maths.light import Light
from surfhead.testing.tiny import rotation
from surfhead.viewing.lighting import Lighting, pointed_at
from surfhead.viewing.painter import Painter
from surfhead.viewing.shot import Shot
from surfhead.viewing.variants import Look
from surfhead.viewing.viewpoint import Viewpoint, start_viewpoint
from tests.runs.tiny_run import tiny_avatar

HERE, THERE = (0.0, 0.0, 2.0), (0.0, 0.0, 0.0)
LEARNT = LAMPS["studio"].light().normalised()


def test_by_default_an_avatar_keeps_its_light() -> None:
    assert Lighting().light(LEARNT, HERE, THERE) is None


def test_names_turns_and_strengths() -> None:
    named = Lighting("window", strength=2.0, turn=180.0).light(LEARNT, HERE, THERE)
    assert named is not None
    sides = named.shading(torch.tensor([[1.0, 0, 0], [-1, 0, 0]]))
    assert bool((sides[0] > 2 * sides[1]).all())  # the window is on the left
    assert named.mean.mean().item() == pytest.approx(2.0, abs=1e-4)
    turned = Lighting(turn=90.0).light(LEARNT, HERE, THERE)
    assert turned is not None
    assert torch.allclose(turned.mean, LEARNT.mean, atol=1e-5)
    sent = Light(torch.ones(9, 3), "sky.exr")
    assert Lighting("sky.exr", sent).light(LEARNT, HERE, THERE).coefficients.equal(sent.coefficients)  # type: ignore[union-attr]


def test_a_lamp_at_the_camera_lights_what_the_camera_sees() -> None:
    made = Lighting(lamp=1.0).light(LEARNT, HERE, THERE)
    assert made is not None
    more = made.shading(torch.tensor([[0.0, 0, 1], [0, 0, -1]])) - LEARNT.shading(
        torch.tensor([[0.0, 0, 1], [0, 0, -1]])
    )
    assert float(more[0, 0]) == pytest.approx(1.0, abs=0.1)
    assert abs(float(more[1, 0])) < 0.1


def test_a_lamp_of_ones_own_stays_where_it_is() -> None:
    beside = Lighting(lamp=1.0, direction=(1.0, 0.0, 0.0))
    first, second = (beside.light(LEARNT, place, THERE) for place in (HERE, (0.0, 3.0, 0.0)))
    assert first is not None
    assert second is not None
    assert first.coefficients.equal(second.coefficients)
    exact = LEARNT.plus(lamp_from((1.0, 0.0, 0.0), (1.0, 1.0, 1.0))).coefficients
    torch.testing.assert_close(first.coefficients, exact)


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ((0.5, 0.5), (0.0, 0.0, 1.0)),
        ((1.0, 0.5), (1.0, 0.0, 0.0)),
        ((0.5, 0.0), (0.0, 1.0, 0.0)),
        ((0.9, 0.5), (0.8, 0.0, 0.6)),
        ((-9.0, 0.5), (-1.0, 0.0, 0.0)),
    ],
)
def test_a_point_of_the_picture_is_a_direction(
    point: tuple[float, float], expected: tuple[float, float, float]
) -> None:
    front = Viewpoint.looking((0.0, 0.0, 1.0), (0.0, 0.0, 0.0), (0.0, 1.0, 0.0), 0.5)
    assert pointed_at(front, *point) == pytest.approx(expected, abs=1e-6)


def test_a_lamp_is_the_lamp_from_the_front_turned() -> None:
    turn = rotation(1.3, 4)
    x, y, z = turn[:, 2].tolist()
    front = lamp_from((0.0, 0.0, 1.0), (1.0, 0.5, 0.2))
    torch.testing.assert_close(
        lamp_from((x, y, z), (1.0, 0.5, 0.2)).coefficients,
        front.turned(turn).coefficients,
        atol=1e-4,
        rtol=1e-4,
    )


@pytest.mark.parametrize("highlight", [True, False])
def test_pictures_follow_the_light_and_the_avatar_stays_as_it_was(highlight: bool) -> None:
    avatar = tiny_avatar(appearance="lit")
    painter = Painter(avatar)
    shot = Shot(start_viewpoint(avatar)[0], look=Look(highlight=highlight))
    own = painter.picture(shot, 24, 24)
    staged = replace(shot, lighting=Lighting("stage"))
    assert np.abs(painter.picture(staged, 24, 24).astype(int) - own).max() > 3
    np.testing.assert_array_equal(painter.picture(shot, 24, 24), own)
    assert avatar.appearance.light().name == "learnt"  # type: ignore[union-attr]


def test_other_avatars_are_not_lit() -> None:
    avatar = tiny_avatar()
    painter = Painter(avatar)
    shot = Shot(start_viewpoint(avatar)[0])
    lit = replace(shot, lighting=Lighting("stage", lamp=2.0))
    np.testing.assert_array_equal(painter.picture(lit, 24, 24), painter.picture(shot, 24, 24))

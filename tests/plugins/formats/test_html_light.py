"""The exported page of an avatar that can be lit anew, in a browser, against the rasterizer's pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from surfhead.drawing import pictures
from surfhead.drawing.channels import paint
from surfhead.maths.geometry import quaternion_multiply
from surfhead.maths.lamps import LAMPS, lamp_from
from surfhead.maths.light import about_up
from surfhead.plugins.formats.html.light import add_light
from surfhead.plugins.formats.html.numbers import Numbers
from tests.plugins.formats.conftest import make_avatar
from tests.plugins.formats.html_page import Page, camera, decibels, still_tab

EXACT = 50  # dB
OPTIONS = {"occlusion": True, "light_degree": 3, "start": 0, "interval": 0, "gloss": True}


@pytest.fixture(scope="module")
def lit():
    """A small head under a coloured light from one side, its eyes shining."""
    avatar = make_avatar("procedural", "jbs", "lit", None, count=200, appearance_options=OPTIONS)
    with torch.no_grad():
        network = avatar.appearance.network()
        network.light.copy_(
            0.05 * torch.randn(network.light.shape, generator=torch.Generator().manual_seed(3))
        )
        for value in network.eyes.parameters():
            value += 0.1
        avatar.surfels.parameters["residual"] *= 0.3
        avatar.surfels.parameters["gloss"] += 3.0
        quaternion = avatar.surfels.parameters["quaternion"]
        half_turn = torch.tensor([0.0, 1.0, 0.0, 0.0])
        quaternion[::5] = quaternion_multiply(quaternion[::5], half_turn.expand_as(quaternion[::5]))
    return avatar


@pytest.fixture(scope="module")
def page(browser, lit, tmp_path_factory):
    """Its page, open during all tests of this file."""
    made = Page(still_tab(browser), lit, tmp_path_factory.mktemp("lit"))
    yield made
    made.tab.close()


def drawn(avatar, light, *channels):
    """Pictures of the first timestep by the rasterizer, under a light; None: the learnt one."""
    avatar.appearance.relight(light)
    found = paint(avatar, camera(0.4, 0.1), 0, list(channels))
    avatar.appearance.relight(None)
    return [pictures.to_bytes(found[name]) for name in channels]


def shown(page, channel="colour", **light):
    """The page's picture."""
    page.call("(given) => surfhead.setLight(given)", light)
    page.call("surfhead.setPose(0)")
    page.look(camera(0.4, 0.1))
    return page.picture(channel)


# from +z, upright: a picture's right is +x
HEAD_ON = [
    [1, 0, 0, 0, 0, -1, 0, 0, 0, 0, -1, 0.8, 0, 0, 0, 1],
    [430, 0, 115, 0, 430, 100, 0, 0, 1],
    230,
    200,
]
UNTOUCHED = {"name": "as learnt", "turn": 0, "strength": 1, "lamp": 0}


@pytest.mark.parametrize(
    ("channel", "name"),
    [("colour", "rgb"), ("albedo", "albedo"), ("shading", "shading")],
)
def test_its_channels_are_the_rasterizers(page, lit, channel, name):
    (exact,) = drawn(lit, None, name)
    assert (exact > 40).mean() > 0.05, "the picture shows nothing"
    assert decibels(shown(page, channel, **UNTOUCHED), exact) > EXACT
    assert page.said == []


@pytest.mark.parametrize("name", ["window", "stage"])
def test_under_a_named_light_turned_and_stronger(page, lit, name):
    light = LAMPS[name].light().normalised().turned(about_up(70.0)).scaled(1.3)
    rgb, shading = drawn(lit, light, "rgb", "shading")
    asked = {**UNTOUCHED, "name": name, "turn": 70, "strength": 1.3}
    assert decibels(shown(page, **asked), rgb) > EXACT
    assert decibels(shown(page, "shading", **asked), shading) > EXACT
    assert decibels(rgb, drawn(lit, None, "rgb")[0]) < 30  # it does look otherwise


def test_the_learnt_light_turns_to_its_third_band(page, lit):
    light = lit.appearance.light().turned(about_up(-125.0))
    assert decibels(shown(page, **{**UNTOUCHED, "turn": -125}), drawn(lit, light, "rgb")[0]) > EXACT


def test_a_lamp_of_ones_own(page, lit):
    direction = (0.3, 0.8, 0.5)
    light = lit.appearance.light().scaled(0.4).plus(lamp_from(direction, (1.5,) * 3))
    asked = {**UNTOUCHED, "strength": 0.4, "lamp": 1.5, "direction": direction}
    assert decibels(shown(page, **asked), drawn(lit, light, "rgb")[0]) > EXACT


def test_its_controls(page, lit):
    shown(page, **UNTOUCHED)
    page.tab.get_by_label("light", exact=True).select_option("sunset")
    page.slide("turn", 40)
    page.look(camera(0.4, 0.1))
    light = LAMPS["sunset"].light().normalised().turned(about_up(40.0))
    assert decibels(page.picture(), drawn(lit, light, "rgb")[0]) > EXACT


def test_its_controls_show_what_a_script_set(page):
    shown(page, name="stage", turn=-30, strength=0.5, lamp=1.5)
    assert page.tab.get_by_label("light", exact=True).input_value() == "stage"
    found = [
        page.tab.get_by_label(name, exact=True).input_value() for name in ("turn", "strength", "mouse lamp")
    ]
    assert [float(value) for value in found] == [-30, 0.5, 1.5]


def test_the_lamp_follows_the_mouse(page, lit):
    shown(page, **{**UNTOUCHED, "strength": 0.2})
    page.slide("mouse lamp", 2)
    page.call("(given) => surfhead.setView(...given)", HEAD_ON)
    box = page.tab.locator("#canvas").bounding_box()
    for x in (0.1, 0.9):
        page.tab.mouse.move(box["x"] + x * box["width"], box["y"] + box["height"] / 2)
        page.tab.wait_for_function(
            "(x) => surfhead.light.direction && surfhead.light.direction[0] * x > 0", arg=x - 0.5
        )
        direction = page.call("surfhead.light.direction")
        across = 2 * x - 1
        assert direction == pytest.approx([across, 0.0, (1 - across**2) ** 0.5], abs=0.02)
        page.look(camera(0.4, 0.1))
        light = lit.appearance.light().scaled(0.2).plus(lamp_from(tuple(direction), (2.0,) * 3))
        assert decibels(page.picture(), drawn(lit, light, "rgb")[0]) > EXACT
        page.call("(given) => surfhead.setView(...given)", HEAD_ON)


@pytest.mark.parametrize(
    "wrong",
    [{"name": "moon"}, {"strength": -1}, {"lamp": "x"}, {"turn": None}],
)
def test_wrong_lights_are_refused_and_change_nothing(page, wrong):
    before = shown(page, **UNTOUCHED)
    with pytest.raises(Exception, match=r"light"):
        page.call("(given) => surfhead.setLight(given)", wrong)
    page.call("surfhead.setLight({})")
    assert np.array_equal(page.picture(), before)


def test_what_the_page_is_told(lit):
    numbers = Numbers()
    model = lit.appearance.colour_model(lit.surfels.binding()).lit
    found = add_light(numbers, model, torch.arange(10))
    assert [entry["name"] for entry in numbers.entries] == ["surfel/surface"]
    learnt = torch.tensor(found["learnt"]).view(16, 3)
    torch.testing.assert_close(learnt, lit.appearance.light().coefficients.cpu(), atol=1e-6, rtol=0)
    assert set(found["named"]) == set(LAMPS)

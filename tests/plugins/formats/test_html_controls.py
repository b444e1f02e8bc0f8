"""What a person does with the exported page: keys, sliders, zoom, ranges of numbers, its address."""

from __future__ import annotations

import time

import pytest
import torch

from surfhead.drawing import pictures
from surfhead.drawing.channels import paint
from surfhead.drawing.scalars import Scale
from surfhead.plugins.formats.html.html import Html
from surfhead.viewing.puppet import AT_RANDOM, STRENGTH
from tests.plugins.formats.conftest import make_avatar
from tests.plugins.formats.html_page import READY, camera, decibels


def test_the_keys_do_what_the_page_says(head_page):
    tab, state = head_page.tab, "surfhead.state"
    tab.locator("#canvas").focus()
    tab.keyboard.press("r")
    head_page.call("surfhead.setPose(1)")
    tab.keyboard.press("ArrowRight")
    assert head_page.call(f"{state}.timestep") == 2
    tab.keyboard.press("ArrowLeft")
    tab.keyboard.press("ArrowLeft")
    assert head_page.call(f"{state}.timestep") == 0
    tab.keyboard.press(" ")
    assert head_page.call(f"{state}.playing") is True
    tab.keyboard.press(" ")
    assert head_page.call(f"{state}.playing") is False
    assert tab.locator("#panel").is_visible()
    tab.keyboard.press("h")
    assert not tab.locator("#panel").is_visible()
    tab.keyboard.press("h")
    tab.keyboard.press("c")
    assert head_page.call(f"{state}.channel") == "normal"
    tab.keyboard.press("o")
    assert head_page.call(f"{state}.orbit") == 20
    tab.locator("#canvas").click()  # whoever touches it holds it still
    assert head_page.call(f"{state}.orbit") == 0


def test_numbers_stand_at_sliders_and_the_face_can_be_drawn_by_lot(head_page):
    tab = head_page.tab
    head_page.slide("Smile left", 0.35)
    row = tab.locator("label", has=tab.get_by_label("Smile left", exact=True))
    assert row.locator("output").inner_text() == "0.35"
    for _ in range(20):
        tab.click("#random")
        drawn = head_page.call("surfhead.state.parameters.expression")
        assert 1 <= sum(value != 0 for value in drawn) <= AT_RANDOM
        assert all(value == 0 or STRENGTH[0] <= value <= STRENGTH[1] for value in drawn)
    tab.click("#rest")
    assert row.locator("output").inner_text() == "0"
    assert tab.locator("#facts").inner_text().startswith(f"Surfels\t{len(head_page.avatar.surfels):,}")


def test_one_cannot_zoom_into_the_head(head_page):
    tab, canvas = head_page.tab, head_page.tab.locator("#canvas")
    canvas.dblclick()
    canvas.hover()
    distance = "document.querySelector('#snippet').value.match(/zoom=([0-9.]+)/)[1]"
    tab.evaluate("document.querySelector('#embed').open = true")

    def zoom():
        tab.locator("#embed").dispatch_event("pointerenter")
        return float(tab.evaluate(distance))

    assert zoom() == 1
    for _ in range(3):
        tab.mouse.wheel(0, -3000)
    home = head_page.call("surfhead.head.home")
    assert zoom() == pytest.approx(home["distance"] / home["radius"], abs=0.01)
    for _ in range(3):
        tab.mouse.wheel(0, 3000)
    assert zoom() == pytest.approx(1 / 3, abs=0.01)
    canvas.dblclick()
    tab.evaluate("document.querySelector('#embed').open = false")


def test_numbers_of_surfels_are_those_of_paint(opened, tmp_path):
    avatar = make_avatar("ict", "jbs", "sh", tmp_path, 200)
    avatar.observed = torch.linspace(0, 1, 200)
    page, view = opened(avatar), camera()
    page.call("surfhead.setPose(1)")
    page.look(view)
    for channel in ("observed", "stretch", "blend"):
        for colour_map, percent in ((None, None), ("viridis", 2)):
            page.call("(given) => surfhead.setScale(...given)", [colour_map, percent])
            scale = Scale(colour_map, percentile=percent)
            ours = pictures.to_bytes(paint(avatar, view, 1, [channel], scale=scale)[channel])
            found = decibels(page.picture(channel), ours)
            assert found > 38, f"{channel}, {colour_map}: {found:.1f} dB"
            legend = page.call("surfhead.legend()")
            assert legend["low"] == pytest.approx(scale.legends[channel].low, rel=0.02, abs=0.02)
            assert legend["high"] == pytest.approx(scale.legends[channel].high, rel=0.02, abs=0.02)
    assert page.tab.locator("#legend").inner_text().splitlines()[0] == "Blend"
    assert page.said == []


def test_the_address_may_ask_for_a_view(browser, ict_avatar, tmp_path):
    (file,) = Html(Html.Options(title="A head", yaw=10.0)).write(ict_avatar, tmp_path / "page.html")
    tab = browser.new_page(viewport={"width": 390, "height": 700})
    tab.goto(file.as_uri() + "#yaw=-40&channel=depth&bar=0")
    assert tab.evaluate(READY)
    assert tab.title() == "A head"
    assert not tab.locator("#panel").is_visible()  # as on every phone, until it is asked for
    assert not tab.locator("#bar").is_visible()
    assert tab.locator("#legend").inner_text().startswith("Depth (m)")
    assert not tab.locator("#poster").count()
    tab.keyboard.press("h")
    tab.get_by_text("Embed", exact=True).click()
    tab.wait_for_function("document.querySelector('#snippet').value.includes('yaw=-40')")
    tab.close()


MOVES = "surfhead.state.timestep !== 0"
PLAY = "document.querySelector('#play').ariaLabel"


def wait(tab, script):
    """Ask until it is so; the page's policy forbids the driver's own way to wait."""
    limit = time.monotonic() + 300
    while not tab.evaluate(script):
        assert time.monotonic() < limit, f"never: {script}"


def test_the_page_plays_by_itself_and_whoever_turns_the_head_does_not_stop_it(browser, head_page):
    tab = browser.new_page(viewport={"width": 700, "height": 420})
    tab.goto(head_page.file.as_uri())
    assert tab.evaluate(READY)
    wait(tab, MOVES)
    assert tab.evaluate(PLAY) == "Pause (space)"
    place = "surfhead.ready && document.querySelector('#snippet').value.match(/yaw=(-?[0-9]+)/)[1]"
    tab.evaluate("document.querySelector('#embed').open = true")
    snippet = tab.locator("#embed")
    snippet.dispatch_event("pointerenter")
    assert tab.evaluate(place) == "0"
    assert "play=" not in tab.evaluate("document.querySelector('#snippet').value")
    tab.mouse.move(150, 150)
    tab.mouse.down()
    tab.mouse.move(250, 150, steps=3)
    # while the button is held the motion goes on, and the camera stays where it was dragged
    tab.evaluate("window.before = surfhead.state.timestep")
    wait(tab, "surfhead.state.timestep !== before")
    snippet.dispatch_event("pointerenter")
    turned = tab.evaluate(place)
    assert int(turned) == pytest.approx(-46, abs=2)
    tab.mouse.up()
    tab.evaluate("window.before = surfhead.state.timestep")
    wait(tab, "surfhead.state.timestep !== before")
    snippet.dispatch_event("pointerenter")
    assert tab.evaluate(place) == turned
    assert tab.evaluate("surfhead.state.playing") is True
    tab.evaluate("surfhead.setPose(1)")  # a script's pose is held
    assert tab.evaluate("surfhead.state.playing") is False
    assert tab.evaluate(PLAY) == "Play (space)"
    snippet.dispatch_event("pointerenter")
    assert "play=0" in tab.evaluate("document.querySelector('#snippet').value")
    tab.close()


def test_the_motion_begins_with_its_first_timestep(browser, tmp_path):
    avatar = make_avatar("ict", "jbs", "sh", tmp_path, timesteps=50)
    (file,) = Html().write(avatar, tmp_path / "page.html")
    tab = browser.new_page(viewport={"width": 200, "height": 200})
    tab.add_init_script(
        # as if unpacking had taken long: without its clock set, the motion would skip its first half second
        "const ask = requestAnimationFrame.bind(window), now = performance.now.bind(performance);"
        "performance.now = () => now() + 60000;"
        "window.requestAnimationFrame = (act) => ask((at) => {"
        "  act(at + 60000); if (window.surfhead.state) window.step ??= surfhead.state.timestep; });"
    )
    tab.goto(file.as_uri())
    wait(tab, "window.step !== undefined")
    assert tab.evaluate("step") < 12
    tab.close()


@pytest.mark.parametrize(
    ("motion", "address", "playing"),
    [("reduce", "", False), ("no-preference", "#play=0", False), ("reduce", "#play=1", True)],
)
def test_where_motion_is_unwelcome_the_page_waits(browser, ict_avatar, tmp_path, motion, address, playing):
    (file,) = Html(Html.Options(orbit=15.0)).write(ict_avatar, tmp_path / "page.html")
    tab = browser.new_page(viewport={"width": 200, "height": 200}, reduced_motion=motion)
    tab.goto(file.as_uri() + address)
    assert tab.evaluate(READY)
    assert tab.evaluate("surfhead.state.playing") is playing
    assert tab.evaluate(PLAY) == ("Pause (space)" if playing else "Play (space)")
    assert tab.evaluate("surfhead.state.orbit") == (0 if motion == "reduce" else 15)
    tab.close()


def test_an_avatar_without_motion_has_nothing_to_play(browser, static_avatar, tmp_path):
    (file,) = Html().write(static_avatar, tmp_path / "page.html")
    tab = browser.new_page(viewport={"width": 200, "height": 200})
    tab.goto(file.as_uri())
    assert tab.evaluate(READY)
    assert tab.evaluate("surfhead.state.playing") is False
    tab.close()

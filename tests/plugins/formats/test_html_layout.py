"""The exported page in windows of a phone, a laptop and a large screen: nothing is cut off or in the way."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tests.layout import LARGE, PHONE, SMALL, faults

OPENED = "for (const found of document.querySelectorAll('details')) found.open = true"
STAGE = "document.querySelector('#stage').getBoundingClientRect().toJSON()"


@pytest.fixture(scope="module")
def tab(browser, head_page):
    made = browser.new_page(viewport={"width": PHONE[0], "height": PHONE[1]})
    made.goto(head_page.file.as_uri())
    made.evaluate("surfhead.ready.then(() => true)")
    yield made
    made.close()


@pytest.mark.parametrize("window", [PHONE, SMALL, LARGE])
def test_nothing_is_cut_off_or_lies_over_another(tab, window):
    tab.set_viewport_size({"width": window[0], "height": window[1]})
    tab.evaluate(OPENED)
    if not tab.locator("#panel").is_visible():
        tab.keyboard.press("h")
    panel = tab.locator("#panel").bounding_box()
    assert faults(tab) == []
    stage = tab.evaluate(STAGE)
    # the panel is beside the picture, or below it on a phone
    beside = panel["x"] >= stage["right"] - 1 or panel["y"] >= stage["bottom"] - 1
    assert beside, (panel, stage)
    bar = tab.locator("#bar").bounding_box()
    assert stage["left"] <= bar["x"]
    assert bar["x"] + bar["width"] <= stage["right"]
    assert bar["y"] + bar["height"] <= stage["bottom"]


def test_on_a_phone_the_panel_waits_and_the_head_fits(browser, head_page):
    tab = browser.new_page(viewport={"width": PHONE[0], "height": PHONE[1]})
    tab.goto(head_page.file.as_uri())
    tab.evaluate("surfhead.ready.then(() => true)")
    assert not tab.locator("#panel").is_visible()
    shot = np.asarray(Image.open(io.BytesIO(tab.screenshot())).convert("L")).astype(int)
    tab.close()
    inside = shot[: PHONE[1] - 60] < 235
    columns = np.flatnonzero(inside.any(axis=0))
    assert columns[0] > 0
    assert columns[-1] < PHONE[0] - 1
    assert columns[-1] - columns[0] > PHONE[0] / 4

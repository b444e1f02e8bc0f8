"""The viewer in a browser's windows: of a phone, of a laptop, and of a large screen beside another run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from surfhead.avatars.avatar import Avatar
from surfhead.runs.run import load_avatar
from tests.layout import LARGE, PHONE, SMALL, laid_out

pytest.importorskip("viser", reason="the extra viewer (package viser) is not installed")
TITLE, OTHER = "a run", "another run"
TABS = ("Time", "View")
BESIDE = """() => document.querySelector("canvas").getBoundingClientRect().right
  <= document.querySelector("[role=tab]").getBoundingClientRect().left + 2"""


@pytest.fixture(scope="module")
def avatar(trained_run: Path) -> Avatar:
    return load_avatar(trained_run, device="cpu")


@pytest.fixture(scope="module")
def url(avatar: Avatar) -> Iterator[str]:
    from surfhead.viewing.page import Page

    page = Page(avatar, port=0, size=64, title=TITLE, other=lambda: avatar, other_title=OTHER)
    page.run()
    yield page.url
    page.close()


def opened(browser: Any, url: str, window: tuple[int, int]) -> Any:
    tab = browser.new_page(viewport={"width": window[0], "height": window[1]})
    tab.set_default_timeout(300_000)  # the first picture may wait long on a busy machine
    tab.goto(url)
    tab.get_by_text(TITLE, exact=True).first.wait_for()
    tab.wait_for_function("document.getElementById('surfhead-words').hidden")
    return tab


def test_beside_the_picture_nothing_is_cut_off(browser: Any, url: str) -> None:
    tab = opened(browser, url, LARGE)
    for name in TABS:
        tab.get_by_role("tab", name=name).click()
        for width, height in (LARGE, SMALL):
            tab.set_viewport_size({"width": width, "height": height})
            tab.wait_for_function(BESIDE)  # both heads are to be seen; the page follows its window at leisure
            assert laid_out(tab) == [], (name, width)
    assert tab.get_by_text(f"Left {TITLE}, right {OTHER}.").is_visible()
    tab.close()


def test_on_a_phone_the_controls_wait_below(browser: Any, url: str) -> None:
    tab = opened(browser, url, PHONE)
    low = f"document.elementFromPoint({PHONE[0] - 40}, {PHONE[1] // 2}).tagName === 'CANVAS'"
    tab.wait_for_function(low)  # the sheet has gone down
    assert laid_out(tab) == []
    handle = tab.get_by_text(TITLE, exact=True).first.bounding_box()
    assert handle["y"] > PHONE[1] - 80
    tab.close()

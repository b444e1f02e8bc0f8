"""`surfhead view` in a real browser, and the command's own words."""

from __future__ import annotations

import inspect
import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from surfhead.commands.view import view
from surfhead.core.errors import DataError
from surfhead.runs.run import load_avatar
from surfhead.viewing import page as page_module
from surfhead.viewing import settings
from surfhead.viewing.painter import Painter
from surfhead.viewing.puppet import Stance
from surfhead.viewing.shot import Shot
from surfhead.viewing.viewpoint import start_viewpoint
from tests.commands.conftest import Surfhead

WIDTH, HEIGHT = 900, 480  # of the window; the controls cover its right side
BOX = (315, 0, 560, 480)  # where the head is, free of notices and controls: left, top, right, bottom


@pytest.fixture(scope="module")
def url(trained_run: Path) -> Iterator[str]:
    """`surfhead view` in a process of its own, with pictures as large as the window."""
    pytest.importorskip("viser", reason="the extra viewer (package viser) is not installed")
    command = [sys.executable, "-m", "surfhead.cli", "view", str(trained_run), "--port", "0"]
    command += ["--size", str(WIDTH), "--quality", "100", "--device", "cpu"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert found, line
        yield found[0]
        process.send_signal(signal.SIGINT)
        assert process.wait(300) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


PATIENCE = 300.0  # seconds; only ends what hangs


class Tab:
    """A page in the browser."""

    def __init__(self, browser: Any, url: str) -> None:
        self.page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        self.errors: list[str] = []
        self.untouched = False  # nothing, or all was taken back
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(url + "?fixedDpr=1")  # or a slow machine's canvas gets coarser meanwhile
        self.page.get_by_role("tab", name="View").wait_for(timeout=300_000)
        self.until(lambda now: bool(now.min() < 200))  # there is a first picture

    def pixels(self) -> np.ndarray:
        left, top, right, bottom = BOX
        clip = {"x": left, "y": top, "width": right - left, "height": bottom - top}
        with Image.open(io.BytesIO(self.page.screenshot(clip=clip))) as image:
            return np.asarray(image.convert("RGB")).astype(int)

    def rest(self) -> np.ndarray:
        """The picture once it no longer changes."""
        before, same, ends = self.pixels(), 0, time.monotonic() + PATIENCE
        while time.monotonic() < ends:
            self.page.wait_for_timeout(250)
            now = self.pixels()
            same = same + 1 if np.array_equal(now, before) and now.min() < 200 else 0
            if same == 3:  # the full picture comes some time after the first small one
                return now
            before = now
        raise AssertionError("The picture does not come to rest.")

    def until(
        self, shown: Callable[[np.ndarray], bool], again: Callable[[], Any] | None = None
    ) -> np.ndarray:
        """The picture once ``shown`` is true of it, however long that takes; else one at rest.

        Now and then ``again`` acts once more: a busy browser may lose what was typed.
        """
        ends, next_time = time.monotonic() + PATIENCE, time.monotonic() + PATIENCE / 30
        while time.monotonic() < ends:
            now = self.pixels()
            if shown(now):
                return now
            self.page.wait_for_timeout(100)
            if again is not None and time.monotonic() > next_time:
                next_time = time.monotonic() + PATIENCE / 30
                again()
        return self.rest()

    def open(self, name: str) -> None:
        self.page.get_by_role("tab", name=name).click()

    def type(self, label: str, value: str) -> None:
        """Type a slider's value."""
        text = self.page.get_by_text(label, exact=True)
        text.scroll_into_view_if_needed()
        field = text.locator("xpath=ancestor::*[.//input][1]").locator("input").last
        field.fill(value)
        field.press("Enter")

    def shows(self, picture: np.ndarray, again: Callable[[], Any] | None = None) -> np.ndarray:
        """The picture once it is this whole one (H, W, 3), as it is drawn; ``again`` as of ``until``."""
        left, top, right, bottom = BOX
        wanted = picture[top:bottom, left:right].astype(int)
        # the browser's texture filter rounds
        return self.until(lambda now: bool(np.abs(now - wanted).max() <= 8), again)

    def differs(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.abs(first - second).max(axis=-1) > 8


@pytest.fixture(scope="module")
def kept() -> Iterator[list[Tab]]:
    """The page that is open: loading one takes as long as a test."""
    tabs: list[Tab] = []
    yield tabs
    for tab in tabs:
        tab.page.close()


@pytest.fixture
def tab(browser: Any, url: str, kept: list[Tab], painter: Painter) -> Tab:
    """A page that shows the first picture: the one of the test before, where that test left it so."""
    if kept and not kept[0].untouched:
        kept.pop().page.close()
    if not kept:
        kept.append(Tab(browser, url))
    kept[0].untouched = False
    return kept[0]


@pytest.fixture(scope="module")
def painter(trained_run: Path) -> Painter:
    return Painter(load_avatar(trained_run, device="cpu"))


def mouth(painter: Painter, shot: Shot, margin: float) -> np.ndarray:
    """(H, W) what the footprints of all surfels cover that the jaw moves, closed or open, and a margin."""
    cameras = shot.viewpoint.cameras(HEIGHT, WIDTH)
    closed, opened = (
        painter.avatar.render(cameras, painter.puppet.pose(Stance(held={("jaw", 0): value})))
        for value in (0.0, 0.4)
    )
    moved = (closed.surfels.mean[0] - opened.surfels.mean[0]).norm(dim=-1) > 1e-7
    moved |= (closed.surfels.tangents[0] - opened.surfels.tangents[0]).flatten(1).norm(dim=-1) > 1e-7
    inside = np.zeros((HEIGHT, WIDTH), dtype=bool)
    pose = cameras.camera_from_world[0]
    for rendering in (closed, opened):
        seen = (rendering.surfels.mean[0][moved] @ pose[:3, :3].mT + pose[:3, 3]) @ cameras.intrinsics[0].mT
        reach = rendering.output.radius[0][moved] + margin
        for (x, y), r in zip((seen[:, :2] / seen[:, 2:]).tolist(), reach.tolist(), strict=True):
            inside[max(int(y - r), 0) : int(y + r) + 2, max(int(x - r), 0) : int(x + r) + 2] = True
    return inside


def first_picture(painter: Painter) -> np.ndarray:
    """What a page shows before anything is touched."""
    return painter.picture(Shot(start_viewpoint(painter.avatar)[0]), HEIGHT, WIDTH)


def test_what_one_sees_is_the_rasterizers_picture(tab: Tab, painter: Painter) -> None:
    shot = Shot(start_viewpoint(painter.avatar)[0])
    left, top, right, bottom = BOX
    whole = painter.picture(shot, HEIGHT, WIDTH)
    drawn = whole[top:bottom, left:right].astype(int)
    # once in a run on a busy machine the page kept another picture; what a user would do then
    assert np.abs(tab.shows(whole, tab.page.reload) - drawn).max() <= 8
    assert (np.abs(drawn - 255).max(axis=-1) > 8).mean() > 0.2  # there is a head
    assert tab.errors == []
    tab.untouched = True


def retype(tab: Tab, label: str, value: str, other: str = "0") -> None:
    """Type another value and this one, for the same is not sent again."""
    tab.type(label, other)
    tab.type(label, value)


def test_the_jaw_moves_the_mouth_and_nothing_else(tab: Tab, painter: Painter) -> None:
    shot = Shot(start_viewpoint(painter.avatar)[0])
    before = tab.shows(painter.picture(shot, HEIGHT, WIDTH))
    tab.open("Rig")
    tab.type("jaw x", "0.4")
    opened = Shot(shot.viewpoint, Stance(held={("jaw", 0): 0.4}))
    after = tab.shows(painter.picture(opened, HEIGHT, WIDTH), lambda: retype(tab, "jaw x", "0.4"))
    left, top, right, bottom = BOX
    near = mouth(painter, shot, margin=2)[top:bottom, left:right]
    changed = tab.differs(before, after)
    assert changed[near].sum() > 500
    assert changed[~near].sum() == 0
    assert near[: near.shape[0] // 3].sum() == 0  # brows and hair are no part of it
    tab.page.get_by_role("button", name="Reset").click()
    assert tab.differs(before, tab.until(lambda now: not tab.differs(before, now).any())).sum() == 0
    tab.untouched = True


def test_the_jaw_in_the_picture_stream(painter: Painter) -> None:
    shot = Shot(start_viewpoint(painter.avatar)[0])
    near = mouth(painter, shot, margin=0)
    pictures = [
        painter.picture(Shot(shot.viewpoint, Stance(held={("jaw", 0): value})), HEIGHT, WIDTH).astype(int)
        for value in (0.0, 0.4)
    ]
    changed = np.abs(pictures[0] - pictures[1]).max(axis=-1) > 0
    assert changed[near].sum() > 500
    assert changed[~near].sum() == 0
    assert near[: HEIGHT // 3].sum() == 0


def test_the_timeline_plays(tab: Tab, painter: Painter) -> None:
    before = tab.shows(first_picture(painter))
    tab.open("Time")
    tab.page.get_by_role("button", name="Play", exact=True).click()
    frames: list[np.ndarray] = []

    def moved(now: np.ndarray) -> bool:
        frames.append(now)
        far = max(tab.differs(before, frame).sum() for frame in frames) > 500
        return far and len({frame.tobytes() for frame in frames}) > 2

    tab.until(moved)
    assert len({frame.tobytes() for frame in frames}) > 2
    assert max(tab.differs(before, frame).sum() for frame in frames) > 500
    tab.page.get_by_role("button", name="Pause").click()
    tab.page.wait_for_timeout(300)
    tab.rest()
    back = partial(retype, tab, "Timestep", "0", "1")
    back()
    again = tab.until(lambda now: not tab.differs(before, now).any(), back)
    assert tab.differs(before, again).sum() == 0
    assert tab.errors == []
    tab.untouched = True


def test_a_second_window_turns_and_is_closed_in_mid_stream_and_the_first_stays(
    tab: Tab, painter: Painter, browser: Any, url: str
) -> None:
    before = tab.shows(first_picture(painter))
    other = Tab(browser, url)
    other.shows(first_picture(painter))
    mouse = other.page.mouse
    mouse.move(420, 240)
    mouse.down()
    mouse.move(300, 240, steps=8)
    mouse.up()
    turned = other.until(lambda now: bool(other.differs(before, now).sum() > 5000))
    assert other.differs(before, turned).sum() > 5000
    assert tab.differs(before, tab.rest()).sum() == 0
    other.open("Time")
    other.page.get_by_role("button", name="Play", exact=True).click()
    other.until(lambda now: bool(other.differs(turned, now).sum() > 500))
    other.page.close()
    tab.open("Rig")
    open_it = partial(retype, tab, "jaw x", "0.3")
    open_it()
    changed = tab.until(lambda now: bool(tab.differs(before, now).sum() > 200), open_it)
    assert tab.differs(before, changed).sum() > 200


def test_its_defaults_are_the_pages() -> None:
    defaults = {name: row.default for name, row in inspect.signature(view).parameters.items()}
    assert (defaults["host"], defaults["port"]) == (settings.HOST, settings.PORT)
    assert (defaults["size"], defaults["quality"]) == (settings.SIZE, settings.QUALITY)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--size", "3"), '"size" of the viewer is 3.'),
        (("--quality", "300"), '"quality" of the viewer is 300.'),
        (("--fps", "0"), '"fps" is 0.0.'),
        (("--driver", "nowhere"), 'Driver "nowhere" does not exist.'),
        (("--host", "not.an.address.here"), 'cannot listen on "not.an.address.here"'),
    ],
)
def test_mistakes_are_three_lines(
    surfhead: Surfhead, trained_run: Path, arguments: tuple[str, ...], words: str
) -> None:
    pytest.importorskip("viser", reason="the extra viewer (package viser) is not installed")
    said = surfhead("view", str(trained_run), "--device", "cpu", *arguments)
    assert said.code == 2
    assert words in said.err
    assert len(said.err.splitlines()) == 3


def test_a_page_is_opened_on_demand_and_closed_at_the_end(
    surfhead: Surfhead, trained_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("viser", reason="the extra viewer (package viser) is not installed")
    visited: list[str] = []
    waited: list[Callable[[], None]] = []
    monkeypatch.setattr("webbrowser.open", visited.append)
    monkeypatch.setattr(page_module, "wait_for_interrupt", lambda: waited.append(lambda: None))
    arguments = ("--device", "cpu", "--port", "0", "--driver", str(trained_run), "--open")
    said = surfhead("view", str(trained_run), *arguments)
    assert (said.code, len(waited)) == (0, 1)
    assert visited == re.findall(r"http://\S+(?=;)", said.out)
    assert len(visited) == 1


def test_without_its_data_an_avatar_is_shown_all_the_same(
    surfhead: Surfhead, trained_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("viser", reason="the extra viewer (package viser) is not installed")

    def gone(config: object) -> None:
        raise DataError('"heads/her" does not exist.')

    monkeypatch.setattr("surfhead.runs.run.open_scene", gone)
    run = page_module.Page.run

    def and_ask(page: page_module.Page) -> None:
        run(page)
        assert not page.open_data()

    monkeypatch.setattr(page_module.Page, "run", and_ask)
    monkeypatch.setattr(page_module, "wait_for_interrupt", lambda: None)
    said = surfhead("view", str(trained_run), "--device", "cpu", "--port", "0")
    assert said.code == 0
    assert 'No cameras and no true pictures: "heads/her" does not exist.' in said.out
    assert "is shown at http://127.0.0.1:" in said.out

"""`surfhead report`, and its page in a real browser without a network."""

from __future__ import annotations

import io
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from surfhead.results import first_page
from tests import warm
from tests.commands.conftest import Surfhead
from tests.layout import faults


def test_a_report_is_written_where_it_is_said(surfhead: Surfhead, trained_run: Path, tmp_path: Path) -> None:
    shutil.copytree(trained_run, tmp_path / "run")
    said = surfhead(
        "report",
        "run",
        "--views",
        "1",
        "--worst",
        "0",
        "--frames",
        "0",
        "--size",
        "32",
        "--device",
        "cpu",
        "--out",
        "a",
    )
    assert said.code == 0, said.err
    assert said.out.splitlines()[-1] == "Report: a.html"
    assert Path("a.html").read_text().count('class="slider"') == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), '"nowhere" is not a run: it does not exist.'),
        (("run", "--views", "-1"), '"views" is -1.'),
        (("run", "--frames", "-1"), '"frames" is -1.'),
    ],
)
def test_bad_input(surfhead: Surfhead, arguments: tuple[str, ...], message: str) -> None:
    said = surfhead("report", *arguments)
    assert said.code == 2
    assert said.err.splitlines()[0] == message


@pytest.fixture(scope="module")
def page_file(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a small run."""
    from surfhead.results.report import write_report

    run = tmp_path_factory.mktemp("browser") / "run"
    shutil.copytree(trained_run, run)
    return write_report(run, views=2, worst=0, frames=10, size=48, device="cpu")


def test_a_browser_shows_it_without_errors_and_without_a_network(browser: Any, page_file: Path) -> None:
    said: list[str] = []
    asked: list[str] = []
    page = browser.new_page(viewport={"width": 1000, "height": 800})
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(page_file.as_uri())
    page.wait_for_function("document.querySelector('video').readyState >= 2")
    loaded = "[...document.images].every(image => image.complete && image.naturalWidth === 48)"
    page.wait_for_function(loaded)
    assert page.evaluate("document.images.length") == 18
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [page_file.as_uri()]
    video = page.evaluate(
        "(() => {const v = document.querySelector('video'); return [v.duration, v.videoWidth]})()"
    )
    assert video == [pytest.approx(0.4, abs=0.05), 48]
    page.close()


@pytest.mark.parametrize("width", [360, 1200, 1440, 1920])
def test_nothing_is_clipped(browser: Any, page_file: Path, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(page_file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    assert faults(page) == []
    # on a phone tables may be pushed to the side, never cut off
    wide = "[...document.querySelectorAll('.scroll')].map(e => e.scrollWidth - e.clientWidth)"
    assert width < 1200 or max(page.evaluate(wide)) == 0
    boxes = "[...document.querySelectorAll('pre, figure, table, .cards div, dl')]"
    hidden = f"{boxes}.filter(e => e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1)"
    assert width < 1200 or page.evaluate(f"{hidden}.map(e => e.outerHTML.slice(0, 80))") == []
    page.close()


@pytest.mark.parametrize("suffix", [".png", ".pdf"])
def test_its_first_page_is_a_picture_or_a_pdf(surfhead: Surfhead, trained_run: Path, suffix: str) -> None:
    pytest.importorskip("playwright.sync_api")
    if not any(map(shutil.which, first_page.BROWSERS)):
        pytest.skip("there is no Chromium on this machine")
    shutil.copytree(trained_run, "run")
    words = ("--views", "0", "--worst", "0", "--frames", "0", "--size", "32", "--device", "cpu")
    # a process of its own: the browser of other tests has one already
    process = warm.Process(["report", "run", *words, "--page", f"first{suffix}"])
    out, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    assert out.decode().splitlines()[-1] == f"First page: first{suffix}"
    if suffix == ".png":
        with Image.open("first.png") as picture:
            assert picture.size == first_page.SHEET
    else:
        written = Path("first.pdf").read_bytes()
        assert written.startswith(b"%PDF")
        assert re.search(rb"/Count 1\b", written)


def test_a_page_of_another_kind_is_refused_before_the_work(surfhead: Surfhead, trained_run: Path) -> None:
    said = surfhead("report", str(trained_run), "--page", "first.jpg")
    assert said.code == 2
    assert said.err.splitlines()[0].startswith('Unknown suffix of a page ".jpg".')


def test_the_slider_uncovers_the_truth(browser: Any, page_file: Path) -> None:
    page = browser.new_page(viewport={"width": 1000, "height": 800})
    page.goto(page_file.as_uri())
    page.wait_for_function("[...document.images].every(image => image.complete)")
    slider = page.locator(".slider").first
    slider.scroll_into_view_if_needed()

    def picture() -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(slider.screenshot())).convert("RGB")).astype(int)

    box = slider.bounding_box()
    middle = box["y"] + box["height"] / 2

    def press(part: float) -> np.ndarray:
        page.mouse.click(box["x"] + part * box["width"], middle)
        return picture()

    left, right = press(0.1), press(0.9)
    width = left.shape[1]
    changed = np.abs(left - right).max(axis=(0, 2)) > 8
    assert changed[int(0.3 * width) : int(0.7 * width)].mean() > 0.5  # truth instead of the avatar
    assert not changed[: int(0.05 * width)].any()
    assert page.evaluate("parseFloat(document.querySelector('.slider').style.getPropertyValue('--cut'))") > 80
    page.keyboard.press("ArrowLeft")  # it has the focus, for those without a mouse
    assert page.evaluate("document.activeElement.type") == "range"
    truth = page.evaluate("document.querySelector('.truth').src")
    avatar = page.evaluate("document.querySelector('.render').src")
    assert truth != avatar
    page.close()


LAYOUT = {
    "h1": (0.0, 1.0),
    ".cards": (0.0, 1.0),
    ".scroll table": (0.0, None),
    ".views": (0.0, 1.0),
    ".sides": (0.0, 1.0),
    "video": (0.0, None),
    ".curves": (0.0, 1.0),
    "details": (0.0, 1.0),
}
"""In the order of the page: left edge and width as parts of the page's column; None: as wide as it needs."""


@pytest.mark.parametrize("width", [1200, 1920])
def test_the_layout_on_a_screenshot(browser: Any, page_file: Path, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 1000}, color_scheme="light")
    page.goto(page_file.as_uri())
    page.wait_for_timeout(100)
    shot = np.asarray(Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("L")).astype(int)
    column = min(width - 48.0, 1792.0)
    left = (width - column) / 2
    tops = []
    for name, (start, part) in LAYOUT.items():
        box = page.locator(name).first.bounding_box()
        assert box["x"] == pytest.approx(left + start * column, abs=3), name
        assert part is None or box["width"] == pytest.approx(part * column, abs=3), name
        tops.append(box["y"])
        inside = shot[
            int(box["y"]) : int(box["y"] + box["height"]), int(box["x"]) : int(box["x"] + box["width"])
        ]
        assert inside.min() < 200, f"{name} shows nothing"
    assert tops[:3] == sorted(tops[:3])
    assert tops[3:6] == sorted(tops[3:6])
    margins = np.concatenate([shot[:, : int(left) - 8], shot[:, width - int(left) + 8 :]], axis=1)
    assert margins.min() > 240  # nothing sticks out
    page.close()

"""`surfhead report`, and its page in a real browser without a network."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.commands.conftest import Surfhead


def test_a_report_is_written_where_it_is_said(surfhead: Surfhead, trained_run: Path, tmp_path: Path) -> None:
    shutil.copytree(trained_run, tmp_path / "run")
    said = surfhead("report", "run", "--views", "1", "--frames", "0", "--device", "cpu", "--out", "a.html")
    assert said.code == 0, said.err
    assert said.out.splitlines()[-1] == "Report: a.html"
    assert Path("a.html").read_text().count('class="slider"') == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), '"nowhere" is not a run: it has no config.toml.'),
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
    return write_report(run, views=2, frames=10, size=64, device="cpu")


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
    assert page.evaluate("document.images.length") == 10
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [page_file.as_uri()]
    video = page.evaluate(
        "(() => {const v = document.querySelector('video'); return [v.duration, v.videoWidth]})()"
    )
    assert video == [pytest.approx(0.4, abs=0.05), 64]
    page.close()


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

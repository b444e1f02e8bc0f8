"""The first page of an HTML file as a PDF or PNG file, by the browser Chromium."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from surfhead.core.errors import UnavailableError, unknown_name
from surfhead.files.writing import beside

SUFFIXES = (".pdf", ".png")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SHEET = (1240, 1754)  # pixels of A4 at 150 dots an inch


def check_page(path: Path) -> Path:
    """See that a first page can be written to this file, before the work; gives it back.

    Raises:
        UnknownNameError: another suffix. UnavailableError: there is no browser.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise unknown_name("suffix of a page", path.suffix, SUFFIXES, "Choose another name for --page.")
    _driver()
    return path


def _driver() -> Any:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise UnavailableError(
            "A page needs the package playwright, which is not installed.",
            "",
            'Run: pip install "surfhead[browser]" and playwright install chromium',
        ) from error
    return sync_playwright


def write_first_page(html: Path, path: Path) -> Path:
    """Write the first page of an HTML file; gives the file.

    Raises:
        UnavailableError: there is no browser.
    """
    with _driver()() as driver:
        known = next(filter(None, map(shutil.which, BROWSERS)), None)
        try:
            browser = driver.chromium.launch(executable_path=known, args=["--no-sandbox"])
        except Exception as error:  # the driver's own error, whose class is not public everywhere
            raise UnavailableError(
                "The browser Chromium could not be started.",
                str(error).partition("\n")[0],
                "Run: playwright install chromium",
            ) from error
        page = browser.new_page(
            viewport={"width": SHEET[0], "height": SHEET[1]}, color_scheme="light", bypass_csp=True
        )
        page.goto(html.resolve().as_uri())
        page.wait_for_function("[...document.images].every(image => image.complete)")
        with beside(path) as temporary:
            if path.suffix.lower() == ".pdf":
                page.pdf(path=temporary, format="A4", page_ranges="1", print_background=True, scale=0.62)
            else:
                page.screenshot(path=temporary)
        browser.close()
    return path

"""Fixtures several folders share."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Several workers with several threads each wait for one another; also holds for processes tests start.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("MKL_NUM_THREADS", "1")

SMALL: dict[str, Any] = {
    "device": "cpu",
    "iterations": 30,
    "batch_size": 2,
    "observers": {"jsonl": {}},
    "data": {
        "name": "synthetic",
        "width": 48,
        "height": 48,
        "timesteps": 4,
        "test_timesteps": 2,
        "cameras": 4,
    },
    "checkpoint": {"every": 10},
    "evaluate": {"at": [0], "every": 0, "limit": 2},
}


DEAREST = (
    "test_ict_journey.py",
    "test_a_killed_grid_finishes_only_what_is_missing",
    "test_two_processes_train_what_one_does_killed_or_not",
    "test_killed_and_resumed_equals_uninterrupted",
    "test_they_are_installed_and_pass_their_own_tests_in_an_empty_directory",
)
"""Tests of many seconds each, which begin first, so that no worker is left alone with one at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the dearest tests first; the others stay in their order."""
    items.sort(key=lambda item: not any(name in item.nodeid for name in DEAREST))


def pytest_collection_finish() -> None:
    """Thousands of tests live to the end: the garbage collector need not look at them again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _own_configuration_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests, and the processes they start, write nothing into the configuration folder of the user."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_CONFIG_HOME", "APPDATA"):
            patch.setenv(name, str(tmp_path_factory.mktemp("configuration")))
        yield


@pytest.fixture(scope="session")
def small_settings() -> dict[str, Any]:
    """Settings of a run that takes seconds."""
    return SMALL


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished small run on the built-in head; read only."""
    from surfhead.runs.train import train

    out = tmp_path_factory.mktemp("trained") / "run"
    return train(preset="tiny", settings=SMALL, out=out)


BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SOFTWARE = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium that draws WebGL in software; one for all, as a process can drive only one."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("there is no Chromium on this machine")
    with driver.sync_playwright() as started:
        made = started.chromium.launch(executable_path=path, args=list(SOFTWARE))
        opened = made.new_page

        def patient(**options: Any) -> Any:
            page = opened(**options)
            page.set_default_timeout(300_000)  # milliseconds, instead of 30 s: a busy machine may need them
            return page

        made.new_page = patient
        yield made
        made.close()

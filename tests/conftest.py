"""Fixtures several folders share."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# Several workers with several threads each wait for one another; also holds for processes tests start. What
# still asks for two threads does not spin for the one that another worker keeps from running.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("MKL_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Hundreds of processes, and every worker, load the same modules: they are compiled once, into the
# folder of pytest's cache where bytecode is not wanted beside the sources.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
    os.environ["PYTHONPYCACHEPREFIX"] = str(Path(__file__).parents[1] / ".pytest_cache" / "bytecode")
    sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"]
    sys.dont_write_bytecode = False

# Tests begin without what people and machines say about colours, widths and plugins; some say it themselves.
# Typer looks once, when it is imported.
for _name in (
    *("COLUMNS", "LINES", "TERMINAL_WIDTH", "NO_COLOR", "FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS"),
    *("CLICOLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "SURFHEAD_PLUGINS"),
):
    os.environ.pop(_name, None)
os.environ["TERM"] = "xterm-256color"
# what a script starts in the background ignores Ctrl-C, as do the processes it starts; tests send it to some
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

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
        **{"supersampling": 1, "detail": 1, "texels": 2},  # of 48 pixels none shows more
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


def of_all_workers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this run of the tests that all workers share."""
    here = tmp_path_factory.getbasetemp()
    return here.parent if "PYTEST_XDIST_WORKER" in os.environ else here


def once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder of this name that ``make`` has filled, once for all workers; read only."""
    from filelock import FileLock  # PyTorch brings it

    folder = of_all_workers(tmp_path_factory) / f"shared-{name}"
    with FileLock(f"{folder}.lock"):
        if not (made := Path(f"{folder}.made")).exists():
            folder.mkdir()
            make(folder)
            made.touch()
    return folder


@pytest.fixture(scope="session", autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests, and the processes they start, neither read nor write what the user has configured and kept.

    All workers keep the built-in head and its pictures in one cache, so that each is made once.
    """
    cache = of_all_workers(tmp_path_factory) / "cache"
    cache.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_CONFIG_HOME", "APPDATA"):
            patch.setenv(name, str(tmp_path_factory.mktemp("configuration")))
        patch.setenv("SURFHEAD_CACHE", str(cache))
        patch.delenv("COLUMNS", raising=False)  # pytest-xdist tells its workers 80, after this file is read
        yield


@pytest.fixture(scope="session")
def small_settings() -> dict[str, Any]:
    """Settings of a run that takes seconds."""
    return SMALL


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished small run on the built-in head; read only."""
    from surfhead.runs.train import train

    return (
        once(
            tmp_path_factory,
            "trained",
            lambda folder: train(preset="tiny", settings=SMALL, out=folder / "run"),
        )
        / "run"
    )


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

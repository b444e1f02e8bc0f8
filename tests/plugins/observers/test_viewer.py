"""The observer "viewer": pages of a run in progress, their cost, pause, and runs that nobody looks at."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from surfhead.core.api import OptionError, create
from surfhead.data.opening import open_scene
from surfhead.runs.configuration import configure
from surfhead.runs.folder import run_folder
from surfhead.runs.run import load_avatar
from surfhead.runs.train import make_trainer
from surfhead.testing.page_client import PageClient
from surfhead.training.devices import choose_device
from surfhead.training.trainer import Trainer
from surfhead.viewing.variants import Look

pytest.importorskip("viser", reason="the extra viewer (package viser) is not installed")
OPTIONS = {"port": "0", "size": "64", "every": "0.05"}


@pytest.fixture
def trainer(tmp_path: Path, small_settings: dict[str, Any]) -> Trainer:
    """A run of the built-in head with the viewer, about to begin, without evaluations."""
    settings = {
        **small_settings,
        "iterations": 10**6,
        "checkpoint": {"every": 10**6},
        "observers": {"viewer": OPTIONS},
        "evaluate": {"at": [], "every": 0, "limit": 1},
    }
    config = configure(preset="tiny", settings=settings)
    return make_trainer(config, open_scene(config), tmp_path / "run", choose_device("cpu"))


class Running:
    """A run in a thread."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        self.observer: Any = trainer.events.manager.get_plugin("viewer")

    def _run(self) -> None:
        with (
            run_folder(self.trainer.folder, self.trainer.config),
            contextlib.suppress(KeyboardInterrupt),
        ):
            self.trainer.run()

    def wait(self, ready: Any, seconds: float = 300.0) -> None:
        ends = time.monotonic() + seconds
        while not ready():
            assert time.monotonic() < ends, "It took too long."
            time.sleep(0.01)

    def begun(self) -> None:
        """Wait until its page is there and it trains."""
        self.wait(lambda: hasattr(self.observer, "page") and self.trainer.images > 2)
        self.page = self.observer.page

    def stop(self) -> None:
        if self.thread.is_alive() and hasattr(self.observer, "training"):
            self.observer.training.paused = False  # a run that a test left paused would wait for ever
        self.trainer.interruption.asked = True
        self.thread.join(300)
        assert not self.thread.is_alive()


@pytest.fixture
def running(trainer: Trainer, capsys: pytest.CaptureFixture[str]) -> Iterator[Running]:
    made = Running(trainer)
    try:
        made.begun()
        yield made
    finally:  # whatever failed: its thread would train on below all later tests
        made.stop()


def test_a_page_follows_the_run(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    page = running.page
    assert page.url in capsys.readouterr().out
    running.observer.training.pace.share = 0.5
    client = PageClient(page.url, page.start, 48, 64)
    try:
        first = client.picture()
        count, images = len(client.pictures), running.trainer.images
        later = client.picture(count + 3)
        assert running.trainer.images > images
        assert not np.array_equal(first, later)  # nobody touched anything: it is the avatar that changed
        running.wait(lambda: len(running.observer.training.curves.images) > 1)
        assert "l1" in running.observer.training.curves.values
        assert client.wait(lambda: "GuiUplotMessage" in client.messages)
        assert "of 1000000 images" in running.observer.training.facts
    finally:
        client.close()


def test_pause_and_going_on(running: Running) -> None:
    client = PageClient(running.page.url, running.page.start, 48, 64)
    client.picture()
    client.set("Pause", True)
    running.wait(lambda: running.observer.training.paused)
    time.sleep(0.3)
    images = running.trainer.images
    count = len(client.pictures)
    client.set("Channel", "normal")
    client.picture(count + 1)  # a paused run still answers
    assert running.trainer.images == images
    client.set("Pause", False)
    running.wait(lambda: running.trainer.images > images)
    client.set("Pause", True)
    running.wait(lambda: running.observer.training.paused)
    client.vanish()  # a run does not wait for somebody who has left
    images = running.trainer.images
    running.wait(lambda: running.trainer.images > images + 5)


def test_pages_take_no_more_than_their_share(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    page, pace = running.page, running.observer.training.pace
    worked: list[tuple[float, float]] = []
    real = pace.worked
    monkeypatch.setattr(pace, "worked", lambda *times: worked.append(times) or real(*times))
    client = PageClient(page.url, page.start, 48, 64)
    try:
        client.click("Play")  # it always wants a picture
        running.wait(lambda: len(worked) > 4)
    finally:
        client.close()
    for (began, ended), (again, _) in itertools.pairwise(worked):
        assert again - ended >= (ended - began) * (1 / 0.04 - 1) - 1e-6
    waited = [again - ended for (_, ended), (again, _) in itertools.pairwise(worked)]
    assert sum(waited) < 100 * sum(ended - began for began, ended in worked)  # nor far less than that


def test_nobody_looking_nothing_is_drawn(running: Running) -> None:
    images = running.trainer.images
    running.wait(lambda: running.trainer.images > images + 10)
    assert running.page.streamer.streamed.pictures == 0
    assert running.observer.training.pace.spent == 0.0


def test_looking_changes_nothing_that_is_learnt(tmp_path: Path, small_settings: dict[str, Any]) -> None:
    learnt = []
    for watched in (False, True):
        settings = {**small_settings, "iterations": 30, "observers": {"viewer": OPTIONS} if watched else {}}
        config = configure(preset="tiny", settings={**settings, "evaluate": {"at": [], "limit": 1}})
        trainer = make_trainer(config, open_scene(config), tmp_path / str(watched), choose_device("cpu"))
        with run_folder(trainer.folder, config):
            if watched:
                observer: Any = trainer.events.manager.get_plugin("viewer")
                observer.run_started(trainer)
                client = PageClient(observer.page.url, observer.page.start, 48, 64)
                observer.training.pace.share = 1.0
                while not observer.page.visitors:
                    observer.page.streamer.answer()
                    time.sleep(0.01)
                client.set("appearance frame", "world")
                while trainer.images < 30:
                    trainer.step()
                    observer.stepped(trainer, trainer.images, trainer.losses)
                assert observer.page.streamer.streamed.pictures > 5
                (visitor,) = observer.page.visitors.values()
                assert visitor.shot.look == Look().with_option("appearance", "frame", "world")
                client.close()
                observer.run_finished(trainer, None)
            else:
                while trainer.images < 30:
                    trainer.step()
            trainer.save()
        learnt.append(load_avatar(tmp_path / str(watched), device="cpu"))
    for name, value in learnt[0].surfels.parameters.items():
        assert torch.equal(value, learnt[1].surfels.parameters[name]), name


@pytest.mark.parametrize(
    ("name", "value"),
    [("share", 0.0), ("share", 1.5), ("every", 0.0), ("size", 1), ("quality", 0), ("port", -1)],
)
def test_options_out_of_range(name: str, value: float) -> None:
    with pytest.raises(OptionError, match=f'"{name}"'):
        create("observer", "viewer", {name: value})

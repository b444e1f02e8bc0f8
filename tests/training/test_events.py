"""A run's observers: all are told, one that raises is switched off, the others hear on."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from surfhead.core.components import Observer
from surfhead.core.errors import ContractError
from surfhead.training.events import EVENTS, Events


class Listens(Observer):
    """Writes down what it hears."""

    name = "listens"
    summary = "Listens."

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.heard: list[str] = []

    def run_started(self, run: Any) -> None:
        self.heard.append(f"started {run}")

    def stepped(self, run: Any, images: int, losses: Any) -> None:
        self.heard.append(f"stepped {images}")

    def run_finished(self, run: Any, error: BaseException | None) -> None:
        self.heard.append(f"finished {error}")


class Raises(Listens):
    name = "raises"

    def stepped(self, run: Any, images: int, losses: Any) -> None:
        super().stepped(run, images, losses)
        raise ValueError("out of cheese")


class Interrupts(Listens):
    name = "interrupts"

    def stepped(self, run: Any, images: int, losses: Any) -> None:
        raise KeyboardInterrupt


class Misfits(Listens):
    name = "misfits"

    def stepped(self, run: Any, step: int, losses: Any) -> None:  # type: ignore[override]
        """Another name for images."""


def test_every_observer_hears_every_event() -> None:
    first, second = Listens(), Listens()
    second.name = "second"  # type: ignore[misc]
    events = Events([first, second])
    events.tell("run_started", run="r")
    events.tell("stepped", run="r", images=2, losses={})
    events.tell("evaluated", run="r", images=2, split="val", means={})
    events.tell("checkpointed", run="r", images=2, path=Path())
    events.tell("run_finished", run="r", error=None)
    assert first.heard == second.heard == ["started r", "stepped 2", "finished None"]


def test_one_that_raises_is_reported_and_switched_off(caplog: pytest.LogCaptureFixture) -> None:
    bad, good = Raises(), Listens()
    events = Events([bad, good])
    with caplog.at_level(logging.WARNING, "surfhead"):
        events.tell("stepped", run=None, images=1, losses={})
        events.tell("stepped", run=None, images=2, losses={})
    assert bad.heard == ["stepped 1"]
    assert good.heard == ["stepped 1", "stepped 2"]
    assert events.names() == ["listens"]
    assert caplog.messages == [
        'Observer "raises" raised ValueError: out of cheese. It is switched off; the run goes on.'
    ]


def test_an_interruption_is_not_swallowed() -> None:
    with pytest.raises(KeyboardInterrupt):
        Events([Interrupts()]).tell("stepped", run=None, images=1, losses={})


def test_an_observer_of_other_parameters_is_named_before_the_run() -> None:
    with pytest.raises(ContractError, match='Observer "misfits" does not fit') as caught:
        Events([Misfits()])
    assert "step" in caught.value.what
    assert len(str(caught.value).splitlines()) == 3


def test_runs_do_not_share_observers() -> None:
    one, two = Listens(), Listens()
    first, second = Events([one]), Events([two])
    first.tell("run_started", run=1)
    second.tell("run_started", run=2)
    assert (one.heard, two.heard) == (["started 1"], ["started 2"])


def test_the_events_are_the_methods_of_the_base() -> None:
    own = {name for name, value in vars(Observer).items() if callable(value) and not name.startswith("_")}
    assert set(EVENTS) == own

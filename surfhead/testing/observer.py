"""Checks of observers: they listen to a small run, trained for this."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor

from surfhead.testing import run
from surfhead.testing.suite import Subject, promise, require
from surfhead.testing.values import require_equal


class _Heard(logging.Handler):
    """Keeps what the run reports."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def _train(subject: Subject, folder: str, observers: list[Any]) -> tuple[dict[str, Tensor], Any, list[str]]:
    """What the run learnt, its events, and what it reported."""
    heard, log = _Heard(), logging.getLogger("surfhead")
    log.addHandler(heard)
    torch.manual_seed(1)
    try:
        trainer, events = run.train(subject.folder / folder, observers)
    finally:
        log.removeHandler(heard)
    learnt = {name: value.detach() for name, value in trainer.avatar.surfels.parameters.items()}
    learnt |= {f"motion {name}": value.detach() for name, value in trainer.avatar.motion.items()}
    return {**learnt, "random state": torch.get_rng_state()}, events, heard.messages


@promise("observer")
def accepts_every_event(subject: Subject) -> None:
    """It hears a whole run without raising, and the end of one that failed."""
    observer = subject.make()
    _, events, messages = _train(subject, "run", [observer])
    require(observer.name in events.names(), "It was switched off: " + "; ".join(messages))
    trainer, _ = run.train(subject.folder / "failing", [])
    failing = subject.make()
    failing.run_started(trainer)
    failing.run_finished(trainer, RuntimeError("the run failed"))


@promise("observer")
def leaves_run_alone(subject: Subject) -> None:
    """A run with it learns the same, bit for bit, and draws the same random numbers as one without."""
    watched, _, _ = _train(subject, "watched", [subject.make()])
    alone, _, _ = _train(subject, "alone", [])
    require_equal(watched, alone, "The watched run differs")


@promise("observer")
def survives_resuming(subject: Subject) -> None:
    """A second observer may listen to another run in the same folder."""
    for _ in range(2):
        observer = subject.make()
        _, events, messages = _train(subject, "run", [observer])
        require(observer.name in events.names(), "It was switched off: " + "; ".join(messages))

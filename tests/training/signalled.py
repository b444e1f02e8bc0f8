"""The command line, in a process that interrupts itself at the moment that a variable says.

One moment for each process, as in ``step,save``. ``step``: in the midst of the step that begins after 6
images. ``exchange``: the processes have just told each other after that step whether to end, and none has
looked at the answer yet. ``save``: as it begins a checkpoint. ``never``. An interruption from outside comes
when the machine has time for it.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any
from unittest import mock

from surfhead import cli
from surfhead.training.ranks import Ranks
from surfhead.training.trainer import Trainer

VARIABLE = "SURFHEAD_TESTS_SIGNALLED"
PROGRAM = "tests.training.signalled"
IMAGES = 6
DIFFERENTIATE, ANY, SAVE = Trainer._differentiate, Ranks.any, Trainer.save


def main(arguments: list[str]) -> int:
    """Run a command line; it is interrupted."""
    moment = os.environ[VARIABLE].split(",")[int(os.environ["RANK"])]
    learnt = 0
    pending = True

    def interrupt() -> None:
        nonlocal pending
        if pending:
            pending = False
            os.kill(os.getpid(), signal.SIGINT)

    def differentiate(trainer: Trainer, *batch: Any) -> Any:
        nonlocal learnt
        done = DIFFERENTIATE(trainer, *batch)
        learnt = trainer.images
        if moment == "step" and learnt >= IMAGES:
            interrupt()
        return done

    def exchange(ranks: Ranks, flag: bool) -> bool:
        answer = ANY(ranks, flag)
        if moment == "exchange" and learnt >= IMAGES:
            interrupt()
        return answer

    def save(trainer: Trainer) -> Path:
        if moment == "save":
            interrupt()
        return SAVE(trainer)

    with (
        mock.patch.object(Trainer, "_differentiate", differentiate),
        mock.patch.object(Ranks, "any", exchange),
        mock.patch.object(Trainer, "save", save),
    ):
        return cli.main(arguments)

"""The command line, in a process that ends itself with what cannot be caught where a variable says.

``step 24``: in the midst of the step that begins after 24 images. ``write 40``: while the checkpoint after 40
images is written. A test that kills from outside depends on how fast the machine is.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any
from unittest import mock

from surfhead import cli
from surfhead.training import checkpoint
from surfhead.training.trainer import Trainer

VARIABLE = "SURFHEAD_TESTS_DIES"
PROGRAM = "tests.training.dying"
DIFFERENTIATE, SYNC = Trainer._differentiate, checkpoint._sync


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: list[str]) -> int:
    """Run a command line; it ends early."""
    where, images = os.environ[VARIABLE].split()

    def differentiate(trainer: Trainer, *batch: Any) -> Any:
        done = DIFFERENTIATE(trainer, *batch)
        if where == "step" and trainer.images >= int(images):
            _die()
        return done

    def sync(path: Path) -> None:
        SYNC(path)
        if where == "write" and f"{int(images):08d}" in str(path):
            _die()

    with (
        mock.patch.object(Trainer, "_differentiate", differentiate),
        mock.patch.object(checkpoint, "_sync", sync),
    ):
        return cli.main(arguments)

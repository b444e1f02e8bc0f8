"""A line of the table, and processes of `surfhead` that attacks start."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

PATIENCE = 900.0  # seconds for one command on a busy machine
SURFHEAD = (sys.executable, "-m", "surfhead.cli")
TINY = ("--preset", "tiny", "--device", "cpu", "--quiet", "--iterations", "60", "--set", "checkpoint.every=4")
SMALL = ("data.width=48", "data.height=48", "data.timesteps=4", "data.test_timesteps=2", "data.cameras=4")
SETTINGS = tuple(word for text in SMALL for word in ("--set", text))
SYNTH = tuple(word for text in (*SMALL, "data.detail=1") for word in ("--set", text))


@dataclass
class Row:
    """A line of the table."""

    name: str
    tried: int
    bad: int
    note: str = ""

    def __str__(self) -> str:
        return f"| {self.name} | {self.tried} | {self.bad} | {self.note} |"


@contextmanager
def command(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of `surfhead`, which is gone after the block."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([*SURFHEAD, *words], stdin=quiet, stdout=quiet, stderr=quiet)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def said(*words: str, environment: dict[str, str] | None = None) -> tuple[int, str]:
    """Exit code and standard error of `surfhead`."""
    done = subprocess.run(
        [*SURFHEAD, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "COLUMNS": "2000", **(environment or {})},
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stderr.decode("utf-8", "replace")

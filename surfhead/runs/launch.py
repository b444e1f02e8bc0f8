"""Starts a command line in several processes of this machine that train together (through torchrun)."""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import Any

from surfhead.core.errors import OptionError, UnavailableError
from surfhead.runs.attached import leave_with_starter
from surfhead.training.interruption import SAME
from surfhead.training.ranks import begun, told

LAUNCH = (
    "import sys; from surfhead.runs.launch import take_part; from surfhead.cli import main; "
    "sys.exit(take_part(main))"
)
BAD_INPUT, INTERRUPTED = 2, 130  # as the command line's own
MOST = 256  # processes; each loads PyTorch
LEAVE = 120  # seconds for a step in hand and a checkpoint; newer PyTorch's 30 are few on a busy machine
OWN = "SIGHUP,SIGQUIT"  # what torchrun's agent still hears itself
LATER = 30.0  # seconds for the first process to word an error that all meet; its end is theirs
SOON = 3.0  # the same for what one met alone, on whose end the others may wait


def started_together() -> int:
    """How many processes this one was started with; 0 where it was started alone."""
    found = told()
    return 0 if found is None else found[1]


def started_first() -> bool:
    """Whether this process is the one that displays."""
    found = told()
    return found is None or found[0] == 0


def take_part(main: Callable[[list[str]], int]) -> int:
    """Run the command line in one of the processes; ends with the one that started them."""
    leave_with_starter()
    code = 1
    try:
        code = main(sys.argv[1:])
    finally:
        if code not in (0, INTERRUPTED) and not started_first():
            time.sleep(LATER if code == BAD_INPUT and not begun() else SOON)
    return code


def run_together(arguments: Sequence[str], count: int) -> int:
    """Run ``surfhead`` with these arguments in ``count`` processes; the first one displays.

    Ctrl-C and SIGTERM are passed on once, as Ctrl-C, and the processes have two minutes to leave a
    checkpoint; asked again later they are ended. Where one fails the others are ended, and what it said is
    printed.

    Returns:
        An exit code.

    Raises:
        UnavailableError: this PyTorch has no torch.distributed.
    """
    import torch

    if not torch.distributed.is_available():
        raise UnavailableError(
            "Several processes cannot train together here.",
            f"PyTorch {torch.__version__} was built without torch.distributed.",
            "Leave --processes out.",
        )
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # we word it ourselves
    # as torchrun does: one thread each, unless told otherwise; else each would take all processors
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(LEAVE))  # PyTorch 2.6 does not know it
    with tempfile.TemporaryDirectory(prefix="surfhead-") as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=count,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            run_id="surfhead",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(folder, dict.fromkeys(range(1, count), Std.ALL)),
        )
        if any(field.name == "signals_to_handle" for field in dataclasses.fields(LaunchConfig)):
            config.signals_to_handle = OWN  # older PyTorch hears all itself
        try:
            with _asking_once(SignalException):
                elastic_launch(config, sys.executable)("-u", "-c", LAUNCH, *arguments)
        except ChildFailedError as failure:
            worded = failure.failures.get(0)
            if worded is not None and worded.exitcode == BAD_INPUT:
                return BAD_INPUT  # the others met the same, or only that it left
            number, first = failure.get_first_failure()
            # a process that fails takes others with it, and torchrun may meet both at one look
            codes = {other: how.exitcode for other, how in failure.failures.items()}
            failed = {other for other, code in codes.items() if other > 0 and (other == number or code > 0)}
            if not failed:  # the one that took the first with it had said why, and was ended as it left
                failed = {other for other in range(1, count) if "Traceback" in _said(Path(folder), other)}
            for other in sorted(failed):
                print(f"Process {other} failed:\n{_said(Path(folder), other)}", file=sys.stderr)
            if first.exitcode < 0:  # it could say nothing itself
                print(f"Process {number} was ended by signal {-first.exitcode}.", file=sys.stderr)
            return INTERRUPTED if first.exitcode == INTERRUPTED else max(first.exitcode, 1)
        except SignalException:
            return INTERRUPTED
    return 0


@contextmanager
def _asking_once(passed_on: Callable[[str, signal.Signals], BaseException]) -> Iterator[None]:
    """Let the first SIGINT or SIGTERM reach the processes as SIGINT, and a later one end them.

    Torchrun's agent sends the processes the signal that the exception ``passed_on`` names. Left to itself it
    sends them SIGTERM, at which they end at once, for a SIGTERM and for any second signal, such as the one
    that `timeout -s INT` sends to the group after the first to the process.
    """
    asked: list[float] = []

    def ask(number: int, stack: FrameType | None) -> None:
        asked.append(monotonic())
        if len(asked) == 1 or asked[-1] - asked[0] > SAME:
            raise passed_on(f"asked to end by signal {number}", signal.SIGINT)

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _said(folder: Path, number: int) -> str:
    """What a process that does not display said."""
    return "\n".join(
        file.read_text(encoding="utf-8", errors="replace").strip()
        for file in sorted(folder.glob(f"**/{number}/stderr.log"))
    )


def check_count(count: int) -> None:
    """Raise OptionError for a number of processes that cannot be."""
    if not 1 <= count <= MOST:
        expected = "at least 1" if count < 1 else f"at most {MOST} on one machine"
        raise OptionError(f"--processes is {count}.", f"Expected {expected}.", "Mend --processes.")

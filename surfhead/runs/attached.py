"""Command lines run in processes of their own, which end with the one that started them.

A child reads its standard input, on which nothing ever comes; it closes when the parent is gone, however it
went, and then the child stops as after Ctrl-C: training leaves a checkpoint to continue from.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence

PATIENCE = 60.0  # seconds a child has to leave a checkpoint before it is ended for good
POLL = 0.2  # seconds between two looks at whether a child should stop
LAUNCH = (
    "import sys; from surfhead.runs.attached import leave_with_parent; leave_with_parent(); "
    "from surfhead.cli import main; sys.exit(main(sys.argv[1:]))"
)


def leave_with_parent() -> None:
    """Interrupt this process once its standard input closes."""
    _listen()

    def watch() -> None:
        while os.read(0, 1024):  # not sys.stdin, whose lock would be held when the interpreter ends
            pass
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=watch, daemon=True).start()


def leave_with_starter() -> None:
    """Interrupt this process once the one that started it is gone; its standard input may be a terminal."""
    _listen()
    starter = os.getppid()

    def watch() -> None:
        while os.getppid() == starter:
            time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=watch, daemon=True).start()


def _listen() -> None:
    """Let an interruption stop this process, also where a script's background has it ignore them."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def run(
    arguments: Sequence[str], environment: Mapping[str, str], stop: threading.Event | None = None
) -> tuple[int, str]:
    """Run ``surfhead`` with these arguments in a process of its own.

    Args:
        arguments: of the command line.
        environment: all of its environment variables.
        stop: once set, the process is asked to stop.

    Returns:
        Its exit code, and what it wrote to standard error.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, *arguments],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,  # a terminal's Ctrl-C reaches it through the parent alone
        )
        assert process.stdin is not None
        try:
            while True:
                try:
                    code = process.wait(POLL)
                    break
                except subprocess.TimeoutExpired:
                    if stop is not None and stop.is_set():
                        process.stdin.close()
                        code = _ended(process)
                        break
        finally:
            process.stdin.close()
        said.seek(0)
        return code, said.read()


def _ended(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()

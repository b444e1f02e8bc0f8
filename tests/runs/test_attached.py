"""Processes that end with the one that started them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from surfhead.runs import attached

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
SLEEPER = """
import sys, time, pathlib
from surfhead.runs.attached import leave_with_parent
leave_with_parent()
pathlib.Path(sys.argv[1]).write_text("began")
try:
    time.sleep(3600)
except KeyboardInterrupt:
    pathlib.Path(sys.argv[1]).write_text("stopped")
    print("bye", file=sys.stderr)
    sys.exit(7)
"""


@pytest.fixture
def note(tmp_path: Path) -> Path:
    return tmp_path / "note"


def wait_for(note: Path, text: str) -> None:
    end = time.monotonic() + 300
    while not (note.exists() and note.read_text() == text):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_exit_code_and_errors_come_back() -> None:
    code, said = attached.run(["show", "deformer", "jacobain"], ENVIRONMENT)
    assert code == 2
    first, second, *_ = said.splitlines()  # the command's first word comes before PyTorch is loaded
    assert first == "surfhead show: loading PyTorch ..."
    assert second == 'Unknown deformer "jacobain". Did you mean "jacobian"?'
    assert attached.run(["--version"], ENVIRONMENT) == (0, "")


@pytest.mark.parametrize("ignoring", [False, True])
def test_a_closed_input_interrupts(note: Path, ignoring: bool) -> None:
    """Also in a script's background, where processes begin with Ctrl-C ignored."""
    deaf = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)" if ignoring else ""
    process = subprocess.Popen(
        [sys.executable, "-c", deaf + SLEEPER, str(note)], stdin=subprocess.PIPE, env=ENVIRONMENT
    )
    assert process.stdin is not None
    wait_for(note, "began")
    process.stdin.close()
    assert process.wait(300) == 7
    assert note.read_text() == "stopped"


def test_a_process_is_asked_to_stop(note: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attached, "LAUNCH", SLEEPER)
    stop = threading.Event()
    found: list[tuple[int, str]] = []
    thread = threading.Thread(target=lambda: found.append(attached.run([str(note)], ENVIRONMENT, stop)))
    thread.start()
    wait_for(note, "began")
    stop.set()
    thread.join(300)
    assert found == [(7, "bye\n")]


def test_a_process_that_does_not_stop_is_ended(note: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stubborn = f"import pathlib, time; pathlib.Path({str(note)!r}).write_text('began'); time.sleep(3600)"
    monkeypatch.setattr(attached, "LAUNCH", stubborn)
    monkeypatch.setattr(attached, "PATIENCE", 0.1)
    stop = threading.Event()
    found: list[tuple[int, str]] = []
    thread = threading.Thread(target=lambda: found.append(attached.run([], ENVIRONMENT, stop)))
    thread.start()
    wait_for(note, "began")
    stop.set()
    thread.join(300)
    assert found == [(-9, "")]

"""What native libraries say to standard error at every start is held back, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CHATTER = (
    "WARNING: Logging before InitGoogle() is written to STDERR\\n"
    "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\\n"
    "W0000 00:00:1796075278.734442    6587 inference_feedback_manager.cc:121] Feedback manager requires.\\n"
)
BEGIN = f"""
import os, sys, threading
from surfhead_video.native_words import chatter_held
def chatter():
    os.write(2, b"{CHATTER}")
"""


def said(code: str) -> str:
    """What another process writes to standard error."""
    done = subprocess.run([sys.executable, "-c", BEGIN + code], capture_output=True, text=True, check=False)
    return done.stderr


def test_chatter_goes_and_errors_stay() -> None:
    code = """
with chatter_held():
    chatter()
    os.write(2, b"E0000 00:00:1796075278.7 6587 graph.cc:12] It fails.\\n")
    print("a line of Python", file=sys.stderr)
    sys.stderr.write("half a line, ")
    chatter()
chatter()
raise SystemExit("the end")
"""
    told = said(code)
    begin, _, rest = told.partition("half a line, ")
    assert begin == "E0000 00:00:1796075278.7 6587 graph.cc:12] It fails.\na line of Python\n"
    assert rest == CHATTER.replace("\\n", "\n") + "the end\n"  # what comes later is not held


def test_standard_error_is_put_back_whatever_fails_and_whoever_is_last() -> None:
    code = """
first, second = threading.Event(), threading.Event()
def other():
    with chatter_held():
        first.set()
        second.wait()
        chatter()
thread = threading.Thread(target=other)
try:
    with chatter_held():
        thread.start()
        first.wait()
        chatter()
        raise ValueError("of the work")
except ValueError:
    pass
second.set()
thread.join()
raise RuntimeError("seen")
"""
    told = said(code)
    assert "WARNING: Logging" not in told
    assert "W0000" not in told
    assert told.endswith("RuntimeError: seen\n")


def test_without_a_standard_error_nothing_is_done() -> None:
    code = """
os.close(2)
sys.stderr = None
with chatter_held():
    pass
try:
    os.fstat(2)
except OSError:
    print("still closed")
"""
    done = subprocess.run([sys.executable, "-c", BEGIN + code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "still closed\n")


def test_nothing_is_said_while_models_load_and_first_run(model: Path) -> None:
    code = f"""
import numpy as np
from pathlib import Path
from surfhead_video.landmarker import Landmarker
with Landmarker(Path({str(model)!r})) as one:
    one.detect(np.zeros((96, 96, 3), np.uint8))
"""
    assert said(code) == ""

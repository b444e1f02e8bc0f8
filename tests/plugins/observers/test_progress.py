"""Observer ``progress``."""

from __future__ import annotations

import math
import sys
from typing import Any

import pytest
import torch

from surfhead.core.api import Observer, OptionError, create
from surfhead.plugins.observers.progress import clock
from surfhead.training.finishing import LAST_LOOK


class Counted:
    """A loss that counts how often it is read."""

    def __init__(self) -> None:
        self.reads = 0

    def __float__(self) -> float:
        self.reads += 1
        return 0.125


def started(run: Any, **options: Any) -> Observer:
    observer: Observer = create("observer", "progress", options)
    observer.run_started(run=run)
    return observer


def test_plain_lines_outside_a_terminal(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    observer = started(run, seconds=0.0)
    observer.stepped(run=run, images=100, losses={"l1": torch.tensor(0.25)})
    observer.evaluated(run=run, images=100, split="val", means={"psnr": 30.0, "foreground_psnr": 25.5})
    observer.run_finished(run=run, error=None)
    assert capsys.readouterr().out == (
        f"Training jbs + sh in {run.folder}: 200 images of 64x48, 7 surfels, "
        'rasterizer "torch" on cpu.\n'
        "Data: Frame 3 is missing.\n"
        "100/200 images  2.0 images/s  PSNR 21.50 dB  7 surfels  0:50 left  |  l1 0.2500\n"
        "val at image 100: PSNR 30.00 dB  head PSNR 25.50 dB\n"
    )


@pytest.mark.parametrize(("rig_bound", "tie"), [(True, False), (False, True), (False, False)])
def test_what_follows_the_last_step_is_told(
    run: Any, capsys: pytest.CaptureFixture[str], rig_bound: bool, tie: bool
) -> None:
    run.avatar.deformer.rig_bound, run.config.tie_unseen = rig_bound, tie
    observer = started(run, seconds=0.0)
    for images in (199, 200):
        capsys.readouterr()
        observer.stepped(run=run, images=images, losses={})
        first, *after = capsys.readouterr().out.splitlines()
        assert first.startswith(f"{images}/200 images")
        # nothing is done last of all without a rig and ties
        assert after == ([LAST_LOOK] if images == 200 and (rig_bound or tie) else [])


def test_lines_come_every_so_many_seconds(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    observer = started(run, seconds=1000.0)
    loss = Counted()
    for image in range(1, 50):
        observer.stepped(run=run, images=image, losses={"l1": loss})  # type: ignore[dict-item]
    assert "l1" not in capsys.readouterr().out
    assert loss.reads == 0


def test_on_a_gpu_values_are_read_at_most_every_20_steps(run: Any) -> None:
    run.avatar.device = torch.device("cuda")
    observer = started(run, seconds=0.0)
    loss = Counted()
    for image in range(1, 101):
        observer.stepped(run=run, images=image, losses={"l1": loss})  # type: ignore[dict-item]
    assert loss.reads == 5


def test_a_live_display_in_a_terminal(
    run: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("surfhead.plugins.observers.progress.LIVE_SECONDS", 0.0)
    monkeypatch.setenv("COLUMNS", "150")
    observer = started(run)
    run.psnr = math.nan
    observer.stepped(run=run, images=100, losses={"l1": torch.tensor(0.25)})
    observer.run_finished(run=run, error=None)
    out = capsys.readouterr().err
    assert "100/200 images" in out
    assert "PSNR -" in out
    assert "l1 0.2500" in out
    assert "\x1b[" in out  # it moves the cursor


def test_an_interrupted_run_says_how_to_continue(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    observer = started(run)
    run.images = 60
    observer.run_finished(run=run, error=KeyboardInterrupt())
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"Stopped at image 60. Continue: surfhead train --resume --out {run.folder}"


def test_a_continued_run_says_where(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run.images = 60
    started(run)
    assert "Continuing at image 60.\n" in capsys.readouterr().out


def test_it_is_what_quiet_leaves_out() -> None:
    assert create("observer", "progress").display
    assert not create("observer", "jsonl").display


def test_seconds_must_not_be_negative() -> None:
    with pytest.raises(OptionError, match='"seconds" of observer "progress" is -1.0'):
        create("observer", "progress", {"seconds": -1})


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3661, "1:01:01")])
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text

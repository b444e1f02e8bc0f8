"""A run killed at random moments and resumed equals one that never stopped, bit for bit (CPU)."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

from surfhead import kernels
from surfhead.training import checkpoint
from tests import warm

SETTINGS = (
    *("--preset", "tiny", "--iterations", "90", "--device", "cpu", "--quiet", "--batch-size", "2"),
    *("--set", "checkpoint.every=10", "--set", "evaluate.at=[]", "--set", "evaluate.limit=1"),
    *("--set", "evaluate.final=1", "--set", "baseline=false"),
    *("--set", "densifier.start=20", "--set", "densifier.stop=80"),
    *("--set", "densifier.every=20", "--set", "densifier.threshold=1e-7", "--set", "appearance.start=30"),
    *("--set", "densifier.reset_every=50", "--set", "densifier.cull=0.005", "--set", "rig.train=true"),
    *("--set", "data.width=48", "--set", "data.height=48", "--set", "data.timesteps=4"),
    *("--set", "data.test_timesteps=1", "--set", "data.cameras=3"),
)
LAST = "00000090"


def start(*arguments: str, program: str = "surfhead.cli") -> warm.Process:
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    if kernels.unavailable("cpu") is None:  # the reference rasterizer does need it
        environment[warm.UNWANTED] = "torch._dynamo"  # takes as long to load as PyTorch itself
    return warm.Process(["train", *arguments], environment, program)


def finish(process: warm.Process) -> None:
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors.decode()


def count(folder: Path) -> int:
    newest = checkpoint.latest(folder)
    return -1 if newest is None else int(checkpoint.label(newest))


def test_killed_and_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    finish(start(*SETTINGS, "--out", str(whole)))
    moments = random.Random(7)
    arguments = [*SETTINGS, "--out", str(broken)]
    kills = 0
    for goal in (10, 40):
        process = start(*arguments)
        limit = time.monotonic() + 300
        while count(broken) < goal and process.poll() is None and time.monotonic() < limit:
            time.sleep(0.005)
        time.sleep(moments.uniform(0.0, 0.4))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
        arguments = ["--out", str(broken), "--resume", "--quiet"]
    assert kills >= 1, "the run ended before it could be killed: nothing was tested"
    finish(start(*arguments))

    first, _ = checkpoint.read(whole / "checkpoints" / LAST)
    second, _ = checkpoint.read(broken / "checkpoints" / LAST)
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert value.shape == second[name].shape, name
        assert value.view(-1).numpy().tobytes() == second[name].view(-1).numpy().tobytes(), name
    changed = checkpoint.read(whole / "checkpoints" / "00000010")[0]["surfels/offset"].shape
    assert first["surfels/offset"].shape != changed, "nothing was densified: the test proved too little"

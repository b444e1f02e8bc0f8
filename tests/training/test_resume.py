"""A run killed in a step and in a checkpoint and resumed equals one that never stopped, bit for bit."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from surfhead import kernels
from surfhead.training import checkpoint
from tests import warm
from tests.training import dying

SETTINGS = (
    *("--preset", "tiny", "--iterations", "60", "--device", "cpu", "--quiet", "--batch-size", "2"),
    *("--set", "checkpoint.every=10", "--set", "evaluate.at=[]", "--set", "evaluate.limit=1"),
    *("--set", "evaluate.final=1", "--set", "baseline=false"),
    *("--set", "densifier.start=20", "--set", "densifier.stop=80"),
    *("--set", "densifier.every=20", "--set", "densifier.threshold=1e-7", "--set", "appearance.start=30"),
    *("--set", "densifier.reset_every=50", "--set", "densifier.cull=0.005", "--set", "rig.train=true"),
    *("--set", "rate.opacity.initial=1.0"),  # opaque soon, or no hole would be closed
    *("--set", "data.width=48", "--set", "data.height=48", "--set", "data.timesteps=4"),
    *("--set", "data.test_timesteps=1", "--set", "data.cameras=3"),
    *("--set", "data.supersampling=1", "--set", "data.detail=1", "--set", "data.texels=2"),
)
LAST = "00000060"


def start(*arguments: str, program: str = "surfhead.cli", **variables: str) -> warm.Process:
    environment = {**os.environ, "OMP_NUM_THREADS": "2", **variables}
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
    arguments = [*SETTINGS, "--out", str(broken)]
    for where, left in (("step 24", 20), ("write 40", 30), ("step 52", 50)):
        process = start(*arguments, program=dying.PROGRAM, **{dying.VARIABLE: where})
        process.communicate(timeout=600)
        assert process.returncode == -signal.SIGKILL
        assert count(broken) == left
        arguments = ["--out", str(broken), "--resume", "--quiet"]
    finish(start(*arguments))

    first, _ = checkpoint.read(whole / "checkpoints" / LAST)
    second, _ = checkpoint.read(broken / "checkpoints" / LAST)
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert value.shape == second[name].shape, name
        assert value.view(-1).numpy().tobytes() == second[name].view(-1).numpy().tobytes(), name
    changed = checkpoint.read(whole / "checkpoints" / "00000010")[0]["surfels/offset"].shape
    assert first["surfels/offset"].shape != changed, "nothing was densified: the test proved too little"

    # after the last step surfels were added, behind all others and within the limit; with them it goes on
    learnt = len(checkpoint.read(whole / "checkpoints" / "00000050")[0]["triangle"])
    counts = {len(value) for name, value in first.items() if name.startswith(("surfels/", "statistics/"))}
    assert counts == {len(first["triangle"])}
    assert learnt == 14_000 < len(first["triangle"]) <= 15_400
    assert int(first["adam/offset/exp_avg"][learnt:].count_nonzero()) == 0
    assert int(first["adam/offset/exp_avg"][:learnt].count_nonzero()) > learnt
    finish(start(*SETTINGS, "--iterations", "4", "--out", str(tmp_path / "on"), "--from", str(whole)))
    later, _ = checkpoint.read(tmp_path / "on" / "checkpoints" / "00000004")
    assert len(first["triangle"]) <= len(later["triangle"]) <= 15_400
    assert int(later["adam/offset/exp_avg"][learnt : len(first["triangle"])].count_nonzero()) > 0

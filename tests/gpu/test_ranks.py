"""Training on a GPU that is not the current one, and on two GPUs at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from surfhead.data.opening import open_scene
from surfhead.runs.configuration import configure
from surfhead.runs.train import make_trainer
from surfhead.training import checkpoint, peer_exchange
from surfhead.training.monitoring import summary
from tests.gpu.both import run_in_both

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs"),
]
SETTINGS = (
    *("--preset", "paper", "--iterations", "1600", "--batch-size", "8", "--quiet"),
    *("--set", "data.name=synthetic", "--set", "data.width=96", "--set", "data.height=128"),
    *("--set", "data.timesteps=4", "--set", "data.test_timesteps=1", "--set", "initial_colours=mean"),
    *("--set", "densifier.start=200", "--set", "densifier.every=400", "--set", "densifier.stop=1500"),
    *("--set", "evaluate.every=0", "--set", "evaluate.at=[]", "--set", "baseline=false"),
    *("--set", "checkpoint.every=800"),
)


def train(folder: Path, *words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "surfhead.cli", "train", *SETTINGS, "--out", str(folder), *words],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_two_gpus_train_what_one_does(tmp_path: Path) -> None:
    """As good an avatar, with as many surfels; the checkpoint itself sees that both hold the same."""
    one, two = tmp_path / "one", tmp_path / "two"
    train(one)
    train(two, "--processes", "2")
    figures = [{row["split"]: row["psnr"] for row in summary(folder)} for folder in (one, two)]
    print(figures)
    for split, psnr in figures[0].items():
        assert figures[1][split] == pytest.approx(psnr, abs=0.3), split
    counts = []
    for folder in (one, two):
        newest = checkpoint.latest(folder)
        assert newest is not None
        assert newest.name == "00001600"
        counts.append(len(checkpoint.read(newest)[0]["triangle"]))
    print(counts)
    assert counts[1] == pytest.approx(counts[0], rel=0.02)


def test_gradients_are_exchanged_while_the_pass_runs() -> None:
    """In captured steps and others, as without; both processes hold the same, bit for bit."""
    run_in_both("tests.gpu.rank_steps")


@pytest.mark.skipif(
    torch.cuda.device_count() > 1
    and not (torch.cuda.can_device_access_peer(0, 1) and torch.cuda.can_device_access_peer(1, 0)),
    reason="the GPUs do not reach each other's memory",
)
def test_exchanges_through_peer_memory() -> None:
    """NCCL's means, bit for bit, also replayed in one process and launched in the other; and its fallback."""
    lack = peer_exchange._lack()
    if lack:
        pytest.skip(lack)
    run_in_both("tests.gpu.peer_exchanges")


def test_captured_on_the_second_gpu(tmp_path: Path) -> None:
    """Steps are captured and learn on a GPU that is not the current one."""
    assert torch.cuda.current_device() == 0
    settings = {
        "device": "cuda:1",
        "iterations": 10_000,
        "batch_size": 4,
        "initial_colours": "mean",
        "observers": {},
        "data": {"name": "synthetic", "width": 96, "height": 128, "timesteps": 4, "test_timesteps": 1},
    }
    config = configure(preset="paper", settings=settings)
    run = make_trainer(config, open_scene(config), tmp_path / "run", torch.device("cuda:1"))
    before = run.avatar.surfels.parameters["offset"].detach().clone()
    for _ in range(6):
        run.step()
    middle = run.avatar.surfels.parameters["offset"].detach().clone()
    run.step()
    after = run.avatar.surfels.parameters["offset"].detach().clone()
    run.feed.close()
    assert run._captured is not None
    assert run._captured.captured, run._captured.failure
    assert after.device.index == 1
    assert not torch.equal(before, middle)
    assert not torch.equal(middle, after)

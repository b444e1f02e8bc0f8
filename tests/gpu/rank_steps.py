"""What each of two processes with a GPU of its own checks of captured steps (run by test_ranks)."""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import replace
from itertools import product
from pathlib import Path

import torch

from surfhead.data.opening import open_scene
from surfhead.kernels.choices import ENVIRONMENT
from surfhead.runs.configuration import configure
from surfhead.runs.train import make_trainer
from surfhead.training.gradient_exchange import GradientExchange
from surfhead.training.ranks import Ranks, joined

STEPS = 12


def train(ranks: Ranks, device: torch.device, folder: Path, graphs: bool, early: bool) -> list[torch.Tensor]:
    """Parameters after some steps, the same in all processes."""
    settings = {
        "iterations": 10_000, "batch_size": 4, "device": "cuda", "graphs": graphs, "baseline": False,
        "initial_colours": "mean", "observers": {}, "appearance": {"name": "lasg", "start": 0, "interval": 0},
        "data": {"name": "synthetic", "width": 96, "height": 128, "timesteps": 4, "test_timesteps": 1},
    }  # fmt: skip
    config = configure(preset="paper", settings=settings)
    with ranks.in_turn():
        open_scene(config)
    run = make_trainer(config, open_scene(config), folder, device, ranks=ranks)
    ranks.spread([value for _, value in run.optimiser.named()])
    # a head of some thousand surfels would fill no bucket
    size = 64 << 10 if early else 1 << 40
    run._exchange = GradientExchange(ranks, bucket=size, small=16 << 10, saving=0 if early else 1 << 40)
    for _ in range(STEPS):
        run.step()
    named = dict(run.optimiser.named())
    ranks.agree(named, f"after {STEPS} steps")
    assert not any(value._post_accumulate_grad_hooks for value in named.values()), "hooks are left"
    if graphs:
        assert run._captured is not None
        assert run._captured.captured, run._captured.failure
        run._captured.drop()
    run.feed.close()
    return [value.detach().clone() for value in named.values()]


def main() -> int:
    """Join, train through NCCL and peer memory, with graphs and without, compare, leave."""
    os.environ[ENVIRONMENT] = "tf32"  # rounded products make larger differences of the rounding of sums
    with joined("cuda") as (ranks, device), tempfile.TemporaryDirectory() as folder:
        without = replace(ranks, peers=None)
        plain = train(without, device, Path(folder), graphs=False, early=False)
        for graphs, among in product((False, True), (without, ranks)):
            for value, wanted in zip(train(among, device, Path(folder), graphs, True), plain, strict=True):
                # Adam turns the rounding of gradients near zero into whole steps of a few values
                error = (value - wanted).abs().mean() / wanted.abs().max().clamp_min(1e-6)
                assert float(error) < 2e-3, (graphs, among.peers, tuple(value.shape), float(error))
    print(f"process {ranks.number} is content", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

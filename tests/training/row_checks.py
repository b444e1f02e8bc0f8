"""What each of two processes checks of training that exchanges some rows of gradients (run by test_ranks)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from surfhead.core.errors import SurfheadError
from surfhead.data.opening import open_scene
from surfhead.runs.configuration import configure
from surfhead.runs.train import make_trainer
from surfhead.training.gradient_exchange import GradientExchange
from surfhead.training.ranks import Ranks, joined

EVERYTHING = 1 << 40  # bytes that no rows save


def settings() -> dict[str, Any]:
    """A head that is densified after 4 of 8 steps; the highlight shines from the start."""
    return {
        "iterations": 1000, "batch_size": 2, "device": "cpu", "baseline": False, "seed": 1,
        "observers": {}, "appearance": {"name": "lasg", "start": 0, "interval": 0},
        "data": {
            "name": "synthetic", "width": 48, "height": 48, "timesteps": 4, "test_timesteps": 1, "cameras": 3,
            "supersampling": 1, "detail": 1, "texels": 2,
        },
        "densifier": {"start": 6, "stop": 400, "every": 8, "threshold": 1e-7, "reset_every": 0,
            "detach_eyeballs": False},
    }  # fmt: skip


def train(ranks: Ranks, folder: Path, saving: int) -> tuple[dict[str, Tensor], list[int]]:
    """The parameters after some steps, the same in all, and the rows of `specular` that learn, by step."""
    config = configure(preset="tiny", settings=settings())
    with ranks.in_turn():
        opened = open_scene(config)
    torch.manual_seed(5)
    run = make_trainer(config, opened, folder, torch.device("cpu"), ranks=ranks)
    ranks.spread([value for _, value in run.optimiser.named()])
    run._exchange = GradientExchange(ranks, saving=saving)
    counts = []
    for _ in range(8):
        rows = run.avatar.surfels.learning("specular")
        assert rows is not None
        counts.append(len(rows))
        run.step()
    run.feed.close()
    named = dict(run.optimiser.named())
    ranks.agree(named, "after some steps")
    run.avatar.surfels.triangle[0] += ranks.number
    with pytest.raises(SurfheadError, match='"triangle" differ'):  # the rows would, too
        run._agree("now")
    return {name: value.detach().clone() for name, value in named.items()}, counts


def main(arguments: list[str]) -> int:
    """Join, train with rows and with everything, compare, leave."""
    with joined("cpu") as (ranks, _):
        (whole, _), (rows, counts) = (train(ranks, Path(arguments[0]), s) for s in (EVERYTHING, 0))
        assert len(set(counts)) > 1, "the region's surfels did not change: the test proves too little"
        assert bool((whole["specular"] != 0).any()), "the highlight did not learn"
        for name, value in whole.items():
            assert value.numpy().tobytes() == rows[name].numpy().tobytes(), name
    print(f"process {os.environ['RANK']} is content", flush=True)
    return 0

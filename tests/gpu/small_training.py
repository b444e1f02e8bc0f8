"""A small training of the built-in head with every loss of the paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from surfhead.data.opening import open_scene
from surfhead.runs.configuration import configure
from surfhead.runs.folder import run_folder
from surfhead.runs.train import make_trainer
from surfhead.training.trainer import Trainer


def small_training(folder: Path, graphs: bool, images: int = 240, **settings: Any) -> Trainer:
    """The built-in head with every loss of the paper, small."""
    chosen: dict[str, Any] = {
        "iterations": images, "batch_size": 4, "device": "cuda", "graphs": graphs, "baseline": False,
        "initial_colours": "mean",
        "data": {"name": "synthetic", "width": 96, "height": 128, "timesteps": 4, "test_timesteps": 1},
        "appearance": {"name": "lasg", "start": 40, "interval": 30},
        "densifier": {"name": "adaptive", "start": 100, "stop": 200, "every": 100, "reset_every": 0},
        "evaluate": {"every": 0, "at": [], "limit": 0}, "checkpoint": {"every": 0},
    }  # fmt: skip
    config = configure(preset="paper", settings=chosen | settings)
    with run_folder(folder, config):
        run = make_trainer(config, open_scene(config), folder, torch.device("cuda"))
    run.terms = [type(t)(t.name, t.component, t.weight, 0, 0) for t in run.terms]
    return run

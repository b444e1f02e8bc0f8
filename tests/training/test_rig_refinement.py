"""Training refines what a tracker got wrong: pose, translation and expression of every timestep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from surfhead.data.opening import open_scene
from surfhead.runs.configuration import configure
from surfhead.runs.train import make_trainer

ERRORS = {"translation": (0.008, 2e-4, 40), "rotation": (0.06, 2e-3, 40), "expression": (0.5, 1e-2, 80)}
"""Error put on a parameter (metres, radians, coefficients), the rate it is refined with, and images."""


@pytest.mark.parametrize("name", ERRORS)
def test_a_wrong_parameter_is_refined_towards_the_truth(
    trained_run: Path, small_settings: dict[str, Any], tmp_path: Path, name: str
) -> None:
    error, rate, images = ERRORS[name]
    still = dict.fromkeys(
        ("offset", "scale", "rotation", "opacity", "sh", "blend", "specular", "network"), 0.0
    )
    settings = {
        **small_settings,
        "iterations": images,
        "evaluate": {"every": 0, "at": []},
        "rig": {"train": True},
        "rate": {**still, "rig": {name: rate}},
        "regularizers": {"l1": 1.0, "dssim": 0.0},
        "densifier": {"name": "adaptive", "every": 0, "reset_every": 0},
    }
    config = configure(preset="tiny", settings=settings)
    opened = open_scene(config)
    truth = opened.scene.rig_parameters[name].clone()
    seen = torch.zeros(len(truth), dtype=torch.bool)
    seen[torch.from_numpy(opened.scene.views.timestep[opened.scene.views.of("train")])] = True
    wrong = torch.zeros_like(truth)
    wrong[:, 1] = error
    opened.scene.rig_parameters[name] = truth + wrong
    trainer = make_trainer(config, opened, tmp_path, torch.device("cpu"), start_from=trained_run, quiet=True)
    trainer.avatar.motion[name] = (truth + wrong).clone()
    trainer.optimiser = type(trainer.optimiser)(trainer.avatar, config, trainer.extent)
    while trainer.images < trainer.length:
        trainer.step()
    trainer.close()
    after = (trainer.avatar.motion[name].detach() - truth)[:, 1].abs()
    assert float(after[seen].mean()) < 0.7 * error
    assert torch.equal(after[~seen], torch.full_like(after[~seen], error))

"""Motion is fitted on a GPU as on a CPU, and pictures replayed from graphs are those of before."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from surfhead.data.feed import cameras_of
from surfhead.data.opening import open_scene
from surfhead.measuring.motion_fit import fit_motion
from surfhead.runs.configuration import configure
from surfhead.runs.train import make_trainer

pytestmark = pytest.mark.gpu
SETTINGS = {
    "device": "cuda",
    "initial_colours": "mean",
    "observers": {},
    "data": {"name": "synthetic", "width": 96, "height": 128, "timesteps": 4, "test_timesteps": 2},
}


def test_a_disturbed_pose_is_found_again(tmp_path: Path) -> None:
    config = configure(preset="paper", settings=SETTINGS)
    run = make_trainer(config, open_scene(config), tmp_path / "run", torch.device("cuda"))
    run.feed.close()
    avatar, scene, views = run.avatar, run.scene, run.scene.views.of("test")
    cameras = cameras_of(scene, views[:1], "cuda")
    before = [avatar.render(cameras, 0).output.rgb.clone() for _ in range(3)][-1]  # captured by then
    moved = {name: rows.detach().clone() for name, rows in avatar.motion.items()}
    steps = sorted(set(scene.views.timestep[views].tolist()))
    moved["rotation"][steps] += 0.03
    fit = fit_motion(avatar, scene, views, moved, steps=20)
    assert bool((fit.after < 0.9 * fit.before).all())
    off = [
        (motion["rotation"] + motion["neck"] - avatar.motion["rotation"] - avatar.motion["neck"])[
            steps
        ].norm()
        for motion in (moved, fit.motion)
    ]
    assert off[1] < 0.7 * off[0]
    others = [step for step in range(scene.timesteps) if step not in steps]
    assert all(torch.equal(rows[others], moved[name][others]) for name, rows in fit.motion.items())
    assert torch.equal(avatar.render(cameras, 0).output.rgb, before)

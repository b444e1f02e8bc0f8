"""The released trainer's final command line, given to `surfhead train` as it is."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from tests.commands.conftest import Surfhead

PUBLISHED = """
-s data -m out --port 60000 --eval --white_background --bind_to_mesh --lambda_normal 0.05 --lambda_dist 100
--depth_ratio 1 --iterations 300000 --interval 60000 --densify_from_iter 5000 --densify_until_iter 150000
--densification_interval 1000 --opacity_reset_interval 30000 --position_lr_max_steps 300000 --rm_bg
--amplify_teeth_grad --detach_eyeball_geometry --lambda_eye_alpha 0.1 --SGs --sg_type lasg
--spec_only_eyeball --DTF --invT_Jacobian --lambda_normal_norm 0.01 --train_kinematic --rotSH
--detach_boundary
"""
# what it says, as this project's settings
MEANT = {
    "preset": "paper",
    "iterations": 2,
    "hold_out": True,
    "background": [1.0, 1.0, 1.0],
    "deformer.name": "jbs",
    "appearance.name": "lasg",
    "appearance.region": "eyeballs",
    "evaluate.every": 60000,
    "densifier.start": 5000,
    "densifier.stop": 150000,
    "densifier.every": 1000,
    "densifier.reset_every": 30000,
    "densifier.teeth_gain": 20.0,
    "densifier.detach_eyeballs": True,
    "freeze.eyeballs": True,
    "freeze.boundary": True,
    "rate.offset.steps": 300000,
    "regularizers.normal.weight": 0.05,
    "regularizers.normal.mean": "picture",
    "regularizers.normal.depth_ratio": 1,
    "regularizers.normal.masked": True,
    "regularizers.distortion.weight": 100,
    "regularizers.eye_opacity.weight": 0.1,
    "regularizers.normal_length.weight": 0.01,
}
SMALL = {
    **{"width": 32, "height": 32, "cameras": 2, "views_per_timestep": 1, "timesteps": 2},
    **{"test_timesteps": 1, "test_cameras": 1, "detail": 1, "texels": 1, "supersampling": 1},
}


def test_it_runs_as_it_is_without_the_viewer(surfhead: Surfhead, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = [f"--set=data.{name}={value}" for name, value in SMALL.items()]
    said = surfhead("synth", "data", "--format", "vhap", *settings)
    assert said.code == 0, said.err
    monkeypatch.setitem(sys.modules, "viser", None)  # which makes it look absent
    said = surfhead("train", *PUBLISHED.split(), "--iterations", "2", "--device", "cpu", "--quiet")
    assert said.code == 0, said.err
    assert said.err.splitlines()[0] == (
        'note: "--port 60000" is left out: package viser is not installed (pip install "surfhead[viewer]").'
    )
    assert Path("out/checkpoints/00000002").is_dir()
    made = tomllib.loads(Path("out/config.toml").read_text())
    assert made["path"] == str(Path("data").resolve())
    assert "viewer" not in made["observers"]
    found = {}
    for key in MEANT:
        value = made
        for part in key.split("."):
            value = value[part]
        found[key] = value
    assert found == MEANT


def test_asked_for_by_name_the_viewer_is_still_demanded(
    train_tiny: Surfhead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "viser", None)
    said = train_tiny("--viewer", "--port", "60000")
    assert said.code == 2
    assert 'observer "viewer" cannot run here: package viser is not installed' in said.err

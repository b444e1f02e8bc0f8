"""A FLAME-shaped head the whole way: import, synth, train, eval, export, import again, the same pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from surfhead.core.registry import create
from surfhead.data.feed import cameras_of
from surfhead.plugins.rigs.flame.example import write_example
from surfhead.runs.run import load_avatar
from tests.commands.conftest import Surfhead

SMALL = {
    **{"width": 40, "height": 40, "cameras": 3, "views_per_timestep": 2, "timesteps": 3},
    **{"test_timesteps": 1, "test_cameras": 1, "detail": 1, "texels": 1, "supersampling": 1},
}


def test_import_synth_train_eval_export_import(surfhead: Surfhead, tmp_path: Path) -> None:
    model = write_example(tmp_path / "published")
    assert surfhead("rig", "import", "flame", str(model), "flame.safetensors").code == 0
    settings = [f"--set=data.{name}={value}" for name, value in SMALL.items()]
    rig = f"--set=rig.path={tmp_path / 'flame.safetensors'}"
    said = surfhead("synth", "data", "--format", "vhap", "--rig", "flame", rig, *settings)
    assert said.code == 0, said.err
    assert (tmp_path / "data" / "canonical_flame_param.npz").is_file()
    options = [
        "--preset",
        "tiny",
        "--iterations",
        "12",
        "--eval",
        "--out",
        "run",
        "--quiet",
        "--device",
        "cpu",
    ]
    said = surfhead("train", "data", *options)
    assert said.code == 0, said.err
    said = surfhead("eval", "run")
    assert said.code == 0, said.err
    assert surfhead("export", "run").code == 0
    said = surfhead("import", "run/export/surfhead", "back", "--data", "data")
    assert said.code == 0, said.err

    scene = create("dataset", "vhap").open(tmp_path / "data")
    first, back = load_avatar(tmp_path / "run"), load_avatar(tmp_path / "back")
    for view in range(len(scene.views)):
        cameras, timestep = cameras_of(scene, [view], "cpu"), int(scene.views.timestep[view])
        ours = first.render(cameras, timestep).output.rgb[0]
        theirs = back.render(cameras, timestep).output.rgb[0]
        assert float((ours - theirs).abs().max()) < 1 / 255
        # it is a picture of the data, not of nothing
        truth = torch.from_numpy(np.asarray(scene.frame(view).image)) / 255
        blank = float(((truth - 1) ** 2).mean())
        assert float(((truth - ours) ** 2).mean()) < 0.25 * blank

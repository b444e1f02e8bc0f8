"""Tests of making runs from stored avatars: the same pictures, and a run that goes on."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from surfhead.core.api import Cameras, DataError, create
from surfhead.runs.measure import evaluate_run
from surfhead.runs.run import load_avatar
from surfhead.runs.takeover import import_run
from surfhead.runs.train import train

CAMERA = Cameras(
    torch.tensor([[[1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 0.6], [0, 0, 0, 1]]]),
    torch.tensor([[[90.0, 0, 30], [0, 90, 26], [0, 0, 1]]]),
    52,
    60,
)


@pytest.fixture
def exported(trained_run, tmp_path):
    avatar = load_avatar(trained_run, rasterizer="torch")
    create("format", "surfhead").write(avatar, tmp_path / "export")
    return avatar, create("format", "surfhead").read(tmp_path / "export")


def test_an_exported_avatar_comes_back_with_the_same_pictures(exported, tmp_path):
    avatar, stored = exported
    import_run(stored, tmp_path / "run")
    back = load_avatar(tmp_path / "run", rasterizer="torch")
    for name, value in avatar.surfels.parameters.items():
        assert torch.equal(back.surfels.parameters[name], value), name
    ours, theirs = avatar.render(CAMERA, 1).output.rgb, back.render(CAMERA, 1).output.rgb
    assert float((ours - 1).abs().max()) > 0.2, "the picture shows nothing"
    assert torch.equal(ours, theirs)
    with pytest.raises(DataError, match="already holds a run"):
        import_run(stored, tmp_path / "run")


def test_with_its_data_the_run_is_measured_and_goes_on(exported, small_settings, tmp_path):
    _, stored = exported
    scene = create(
        "dataset", "synthetic", {k: v for k, v in small_settings["data"].items() if k != "name"}
    ).open(None)
    create("dataset", "vhap").write(scene, tmp_path / "data")
    settings = {"iterations": stored.images + 4, "device": "cpu", "observers": {}, "evaluate": {"limit": 1}}
    import_run(stored, tmp_path / "run", data=str(tmp_path / "data"), settings=settings)
    assert evaluate_run(tmp_path / "run", splits=("train",), limit=1)["train"].means["psnr"] > 5
    train(out=tmp_path / "run", resume=True, quiet=True)
    assert load_avatar(tmp_path / "run").images == stored.images + 4


def test_avatars_that_do_not_fit_the_rig_are_refused(exported, tmp_path):
    _, stored = exported
    lost = dataclasses.replace(stored, triangle=np.full_like(stored.triangle, 10**6))
    with pytest.raises(DataError, match="triangle 1000000"):
        import_run(lost, tmp_path / "a")
    still = dataclasses.replace(stored, motion={})
    with pytest.raises(DataError, match="without a motion"):
        import_run(still, tmp_path / "b")


def test_harmonics_of_another_degree_are_cut_or_padded(exported, tmp_path):
    _, stored = exported
    rest = np.random.default_rng(0).normal(size=(len(stored.triangle), 15, 3)).astype(np.float32)
    values = {name: stored.parameters[name] for name in ("offset", "log_scale", "quaternion", "opacity")}
    values |= {"sh_dc": rest[:, 0], "sh_rest": rest}
    components = {**stored.components, "appearance": {"name": "sh", "options": {"degree": 3}}}
    stored = dataclasses.replace(stored, parameters=values, components=components, network={})
    degree = {"appearance": {"name": "sh", "degree": 1}}
    import_run(stored, tmp_path / "low", settings=degree)
    low = load_avatar(tmp_path / "low").surfels.parameters["sh_rest"]
    assert np.array_equal(low.detach(), rest[:, :3])
    cut = {**values, "sh_rest": rest[:, :8]}
    import_run(dataclasses.replace(stored, parameters=cut), tmp_path / "high")
    high = load_avatar(tmp_path / "high").surfels.parameters["sh_rest"]
    assert np.array_equal(high[:, :8].detach(), rest[:, :8])
    assert not bool(high[:, 8:].any())

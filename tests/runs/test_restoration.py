"""Checkpoints from before a change go on; what a component raises is not called a file's damage."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import safetensors.torch
import torch

import surfhead
from surfhead.avatars.state import AvatarState
from surfhead.core.errors import DataError
from surfhead.core.registry import registry
from surfhead.data.feed import cameras_of
from surfhead.data.opening import open_scene
from surfhead.results.drivers import read_driver
from surfhead.runs.run import read_config
from surfhead.runs.train import make_trainer, train
from surfhead.training import checkpoint

# a run of 6 images on the built-in head, 66 surfels, stopped after 4; written before `AvatarState` was there
OLD = Path(__file__).parent / "old_run"
EXPECTED = OLD / "expected.safetensors"  # what was drawn from it then, and its surfels a step later


@pytest.fixture
def old_run(tmp_path: Path) -> Path:
    """A copy of the kept run, which may be continued."""
    shutil.copytree(OLD, tmp_path / "old")
    return tmp_path / "old"


def test_an_old_checkpoint_draws_what_it_drew(old_run: Path) -> None:
    avatar = surfhead.load_avatar(old_run, device="cpu", rasterizer="torch")
    scene = open_scene(read_config(old_run)).scene
    cameras = cameras_of(scene, [0, 1], torch.device("cpu")).to("cpu", torch.float32)
    drawn = avatar.render(cameras, int(scene.views.timestep[0])).output.rgb
    expected = safetensors.torch.load_file(EXPECTED)
    assert avatar.images == 4
    assert float(expected["rgb"].std()) > 0.05
    assert torch.allclose(drawn, expected["rgb"], atol=1e-4)


@pytest.fixture
def double() -> Iterator[None]:
    """A script that computes in double precision."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_a_script_of_double_precision_draws_and_goes_on_alike(
    old_run: Path, trained_run: Path, double: None
) -> None:
    """It was told that its checkpoint is damaged, and to remove it."""
    avatar = surfhead.load_avatar(trained_run, device="cpu")
    camera = surfhead.orbit(avatar, 1, height=16, width=16)
    drawn = avatar.render(camera, 0).output.rgb
    train(out=old_run, resume=True, quiet=True)
    assert torch.get_default_dtype() is torch.float64
    tensors, _ = checkpoint.read(old_run / "checkpoints" / "00000006")
    assert {value.dtype for value in tensors.values() if value.is_floating_point()} == {torch.float32}
    torch.set_default_dtype(torch.float32)
    assert torch.equal(surfhead.load_avatar(trained_run, device="cpu").render(camera, 0).output.rgb, drawn)


def test_an_old_checkpoint_goes_on_as_it_did(old_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SURFHEAD_PLAIN", "cpu")  # fused forms round differently, and Adam asks for signs
    config = read_config(old_run)
    trainer = make_trainer(config, open_scene(config), old_run, torch.device("cpu"), resume=True)
    now, gradients = trainer.avatar.surfels.parameters, {}
    start = now["sh_dc"].detach().clone()
    for name, value in now.items():
        value.register_hook(lambda gradient, name=name: gradients.update({name: gradient.abs()}))
    trainer.step()
    trainer.feed.close()
    expected = safetensors.torch.load_file(EXPECTED)
    moved = float((expected["after/sh_dc"] - start).abs().max())
    assert moved > 1e-3
    # where neighbours turn alike, a blend's gradient is rounding alone, a processor's own, by whose sign Adam
    # goes a whole step
    sure = gradients["blend"] > 1e-6 * gradients["blend"].max()
    assert int(sure.sum()) > 60
    for name, value in now.items():
        kept = sure if name == "blend" else torch.ones_like(value, dtype=torch.bool)
        assert torch.allclose(value[kept], expected[f"after/{name}"][kept], atol=1e-4), name


def test_an_old_checkpoint_is_trained_to_its_end(old_run: Path) -> None:
    train(out=old_run, resume=True, quiet=True)
    newest = checkpoint.latest(old_run)
    assert newest is not None
    assert newest.name == "00000006"
    assert AvatarState.from_tensors(checkpoint.read(newest)[0], "cpu").triangle.shape == (66,)


def test_a_state_goes_to_tensors_and_back(trained_run: Path) -> None:
    avatar = surfhead.load_avatar(trained_run, device="cpu")
    tensors = avatar.state().tensors()
    again = AvatarState.from_tensors({**tensors, "adam/offset/step": torch.zeros(1)}, "cpu").tensors()
    assert again.keys() == tensors.keys()
    assert {name.partition("/")[0] for name in tensors} >= {"triangle", "background", "surfels", "network"}
    assert all(torch.equal(again[name], value) for name, value in tensors.items())


PLUGIN = '''
from surfhead.core.api import Deformer, hookimpl, create
import builtins, pathlib

class Fragile(Deformer):
    """jbs, or nothing."""
    name = "fragile"
    summary = "jbs, or nothing."

    def __init__(self, options=None):
        super().__init__(options)
        if pathlib.Path({marker!r}).exists():
            raise getattr(builtins, pathlib.Path({marker!r}).read_text())("the plugin's own fault")
        self.inner = create("deformer", "jbs")

    def parameters(self):
        return self.inner.parameters()

    def __call__(self, mesh, binding):
        return self.inner(mesh, binding)

@hookimpl
def register_deformers(register):
    register(Fragile)
'''


def test_what_a_plugin_raises_is_not_the_checkpoints_damage(old_run: Path, tmp_path: Path) -> None:
    marker, plugin = tmp_path / "broken", tmp_path / "fragile.py"
    plugin.write_text(PLUGIN.format(marker=str(marker)))
    registry().load_file(plugin)
    config = (old_run / "config.toml").read_text()
    (old_run / "config.toml").write_text(config.replace('name = "jbs"', 'name = "fragile"'))
    assert surfhead.load_avatar(old_run, device="cpu", rasterizer="torch").deformer.name == "fragile"
    for error in (ValueError, RuntimeError, KeyError):
        marker.write_text(error.__name__)
        with pytest.raises(error, match="the plugin's own fault"):
            surfhead.load_avatar(old_run, device="cpu", rasterizer="torch")
        with pytest.raises(error, match="the plugin's own fault"):
            train(out=old_run, resume=True)


@pytest.mark.parametrize(
    ("key", "value"),
    [("rig", 5), ("rig", {"name": "procedural"}), ("components", [{"kind": 3}]), ("images", "many")],
)
def test_a_description_of_another_form_is_damage(key: str, value: object, old_run: Path) -> None:
    file = old_run / "checkpoints" / "00000004" / checkpoint.META
    file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))
    with pytest.raises(DataError, match=r"00000004\" is damaged or incomplete"):
        surfhead.load_avatar(old_run, device="cpu")


def test_a_driving_run_of_another_rig_is_refused(old_run: Path) -> None:
    assert read_driver(old_run).rig == "procedural"
    file = old_run / "checkpoints" / "00000004" / checkpoint.META
    file.write_text(json.dumps({**json.loads(file.read_text()), "fingerprint": "another"}))
    with pytest.raises(DataError, match="is not the one checkpoint"):
        read_driver(old_run)

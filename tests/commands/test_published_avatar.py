"""An avatar of SurFhead, imported, draws what SurFhead drew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from surfhead.core.api import Cameras, create
from surfhead.plugins.formats.published_run import read_network
from surfhead.plugins.rigs.flame.example import write_example
from surfhead.runs.run import load_avatar
from tests.commands import published_drawing as published
from tests.commands.conftest import Surfhead

SIGHTS = ((0, -0.2), (1, 0.35))  # timestep, and radians the camera stands aside
TARGET = 45.0  # dB


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, published.Published, list[np.ndarray]]:
    """A folder with a head model and a run of SurFhead, that run's content, and its pictures."""
    root = tmp_path_factory.mktemp("published")
    avatar = published.make(write_example(root / "model"))
    published.write(avatar, root / "theirs")
    pictures = [
        published.draw(avatar, step, *published.camera(avatar, step, aside)) for step, aside in SIGHTS
    ]
    return root, avatar, pictures


def drawn(surfhead: Surfhead, made: tuple, run: str, *settings: str) -> list[np.ndarray]:
    """The imported run's pictures."""
    root, avatar, _ = made
    rig = (f"--set=rig.path={root / 'model' / 'model.pkl'}", "--set=rig.teeth=false")
    said = surfhead("import", str(root / "theirs"), run, *rig, *(f"--set={word}" for word in settings))
    assert said.code == 0, said.err
    imported = load_avatar(Path(run), device="cpu")
    pictures = []
    for step, aside in SIGHTS:
        matrix, intrinsics = (torch.tensor(v)[None].float() for v in published.camera(avatar, step, aside))
        cameras = Cameras(matrix, intrinsics, published.HEIGHT, published.WIDTH)
        pictures.append(imported.render(cameras, step).output.rgb[0].double().numpy())
    return pictures


def test_it_draws_what_it_drew_there(surfhead: Surfhead, made: tuple, tmp_path: Path) -> None:
    _, avatar, pictures = made
    ours = drawn(surfhead, made, "run")
    for (step, aside), mine, theirs in zip(SIGHTS, ours, pictures, strict=True):
        assert published.psnr(mine, theirs) > TARGET
        matte = published.draw(avatar, step, *published.camera(avatar, step, aside), highlight=False)
        assert published.psnr(matte, theirs) < TARGET - 15  # the eyes' network is well seen
        assert float((theirs != 1).any(axis=-1).mean()) > 0.5


@pytest.mark.parametrize(
    "setting",
    [
        "appearance.start=1000000000",
        "appearance.interval=1000000000",
        "appearance.lobe_grid=spread",
        "appearance.region=all",
        "deformer.rotation_blend=relative",
        "deformer.name=jacobian",
        "format.lobe_order=kind",
        "format.encoding_order=octave",
        "format.neighbour_order=index",
    ],
)
def test_every_convention_is_seen(surfhead: Surfhead, made: tuple, tmp_path: Path, setting: str) -> None:
    ours = drawn(surfhead, made, "run", setting)
    assert min(map(published.psnr, ours, made[2])) < TARGET


@pytest.mark.parametrize("model", ["lasg", "asg", "sg"])
def test_the_networks_of_all_three_models_shine_as_there(tmp_path: Path, model: str) -> None:
    random = np.random.default_rng(3)
    network = published.random_network(random, model)
    torch.save({k: torch.tensor(v).float() for k, v in network.items()}, tmp_path / "specular.pth")
    name, state = read_network(tmp_path / "specular.pth", "lobe", "axis", [])
    assert name == model
    ours = create("appearance", name, {"lobe_grid": "published"}).network()
    ours.load_state_dict(state)
    features = random.normal(size=(40, 24))
    d, n = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in random.normal(size=(2, 40, 3)))
    theirs = published.network_light(network, features, d, n)
    light = ours(torch.tensor(features).float(), torch.tensor(d[None]).float(), torch.tensor(n[None]).float())
    assert float(theirs.std()) > 0.2
    np.testing.assert_allclose(light[0].detach().numpy(), theirs, rtol=0, atol=1e-4)

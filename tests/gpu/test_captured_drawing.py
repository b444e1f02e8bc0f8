"""Pictures replayed from CUDA graphs are those that are drawn launch by launch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.avatars.captured_work import tensors_in
from surfhead.avatars.rendering import Rendering
from surfhead.core.types import Cameras
from surfhead.data.feed import cameras_of
from surfhead.data.opening import open_scene
from surfhead.runs.configuration import configure
from surfhead.runs.train import make_trainer
from surfhead.training.trainer import Trainer

pytestmark = pytest.mark.gpu
SETTINGS = {
    "device": "cuda",
    "iterations": 10_000,
    "batch_size": 4,
    "initial_colours": "mean",
    "observers": {},
    "data": {"name": "synthetic", "width": 96, "height": 128, "timesteps": 4, "test_timesteps": 1},
    "densifier": {"start": 0, "every": 40, "stop": 10_000, "threshold": 1e-5},
}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Trainer]:
    """A trainer whose pictures can be captured."""
    config = configure(preset="paper", settings=SETTINGS)
    made = make_trainer(config, open_scene(config), tmp_path / "run", torch.device("cuda"))
    yield made
    made.feed.close()


def cameras(run: Trainer, *views: int) -> Cameras:
    return cameras_of(run.scene, list(views), "cpu")


def plain(avatar: Avatar, *arguments: object, **options: Tensor) -> Rendering:
    """Drawn without a graph."""
    avatar.graphs = False
    try:
        return avatar.render(*arguments, **options)  # type: ignore[arg-type]
    finally:
        avatar.graphs = True


def captured(avatar: Avatar) -> int:
    return sum(work.captured for work in avatar._drawing._works.values())


def same(found: Rendering, wanted: Rendering) -> None:
    """The rasterizer's forward pass and all before it are deterministic."""
    parts = ("output", "surfels", "field", "colour")
    for name in parts:
        mine, others = tensors_in(getattr(found, name)), tensors_in(getattr(wanted, name))
        for value, other in zip(mine, others, strict=True):
            assert torch.equal(value, other), name
    assert found.mesh is not None
    assert wanted.mesh is not None
    assert torch.equal(found.mesh.vertices, wanted.mesh.vertices)
    assert torch.equal(found.mesh.frames.scale, wanted.mesh.frames.scale)


def test_replayed_pictures_are_the_same(run: Trainer) -> None:
    """In other poses, from other cameras, and what was drawn before keeps its values."""
    avatar = run.avatar
    made = []
    for index in range(8):
        camera, timestep = cameras(run, index % 3), index % 4
        made.append((avatar.render(camera, timestep), plain(avatar, camera, timestep)))
    assert captured(avatar) == 1
    for found, wanted in made:
        same(found, wanted)
    assert not torch.equal(made[5][0].output.rgb, made[6][0].output.rgb)


def test_shapes_take_turns(run: Trainer) -> None:
    """Sizes, batches, backgrounds and hidden surfels, by given parameters."""
    avatar = run.avatar
    pose = {name: rows[1:2] for name, rows in avatar.motion.items()}
    hidden = torch.ones(len(avatar.surfels))
    hidden[::3] = 0.0
    one, small = cameras(run, 0), cameras(run, 1)
    small = replace(small, intrinsics=small.intrinsics * 0.5, height=64, width=48)
    for _ in range(4):
        for camera in (one, small, cameras(run, 0, 1)):
            same(avatar.render(camera, pose), plain(avatar, camera, pose))
        for scale in (hidden, 1.0 - hidden):
            found = avatar.render(one, pose, opacity_scale=scale, background=torch.zeros(3))
            same(found, plain(avatar, one, pose, opacity_scale=scale, background=torch.zeros(3)))
    assert captured(avatar) == 4


def test_a_run_in_training_shows_its_latest(run: Trainer) -> None:
    """Steps, captured themselves, change the surfels in place; densifying makes new ones."""
    avatar, camera = run.avatar, cameras(run, 0)
    counts, before = set(), None
    for _ in range(30):
        for _ in range(3):
            found = avatar.render(camera, 0)
            same(found, plain(avatar, camera, 0))
        assert captured(avatar) == 1
        assert before is None or not torch.equal(found.output.rgb, before)
        before = found.output.rgb
        counts.add(len(avatar.surfels))
        for _ in range(3):
            run.step()
    assert len(counts) > 2, "nothing was densified: the test proved too little"
    assert run._captured is not None
    assert run._captured.failure is None


def test_other_streams_draw_without(run: Trainer) -> None:
    avatar, camera = run.avatar, cameras(run, 0)
    wanted = plain(avatar, camera, 0)
    with torch.cuda.stream(torch.cuda.Stream()):
        for _ in range(4):
            found = avatar.render(camera, 0)
        torch.cuda.current_stream().synchronize()
    same(found, wanted)
    assert captured(avatar) == 0


def test_a_borrowed_picture_lasts_until_the_next(run: Trainer) -> None:
    """It is the graph's own, right at that moment; the next one takes its place."""
    avatar, camera = run.avatar, cameras(run, 0)
    for timestep in range(4):
        found = avatar.render(camera, timestep, borrow=True)
        same(found, plain(avatar, camera, timestep))
    for _ in range(20):  # where room was too little, two pictures are drawn without a graph
        kept = avatar.render(camera, 3, borrow=True).output.rgb
        if avatar.render(camera, 0, borrow=True).output.rgb.data_ptr() == kept.data_ptr():
            break
    else:
        pytest.fail("no picture took the place of the one before")
    assert torch.equal(kept, plain(avatar, camera, 0).output.rgb)

"""The identity learns with the avatar: towards the truth, into checkpoints, and on from them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from surfhead.avatars.assembly import Parts, assemble
from surfhead.avatars.avatar import Avatar
from surfhead.avatars.state import AvatarState
from surfhead.avatars.surfels import Surfels
from surfhead.core.api import Cameras, Frame, Rig, Scene, Views, create
from surfhead.core.config import Occasions, Rate, RunConfig
from surfhead.plugins.rigs.ict.example import write_example
from surfhead.testing import tiny
from surfhead.training import checkpoint
from surfhead.training.events import Events
from surfhead.training.optimiser import Optimiser
from surfhead.training.trainer import Record, Trainer
from surfhead.training.training_data import TrainingData
from surfhead.training.weighted_term import WeightedTerm

TRUE, WRONG = torch.tensor([1.5, 0.0]), torch.tensor([0.0, 0.0])  # a unit widens the head by 5 %
POSES, SIZE = 3, 64
CPU = torch.device("cpu")


def camera() -> Cameras:
    pose = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    pose[2, 3] = 0.5
    intrinsics = torch.tensor([[80.0, 0.0, SIZE / 2], [0.0, 80.0, SIZE / 2], [0.0, 0.0, 1.0]])
    return Cameras(pose[None], intrinsics[None], SIZE, SIZE)


class Drawn(Scene):
    """What an avatar of the true identity looks like in every pose."""

    def __init__(self, avatar: Avatar) -> None:
        one = camera()
        views = Views(
            camera_from_world=np.tile(one.camera_from_world.double().numpy(), (POSES, 1, 1)),
            intrinsics=np.tile(one.intrinsics.double().numpy(), (POSES, 1, 1)),
            timestep=np.arange(POSES),
            camera=np.zeros(POSES, np.int64),
            split=np.full(POSES, "train"),
            names=tuple(f"{t}" for t in range(POSES)),
            height=SIZE,
            width=SIZE,
        )
        super().__init__(views, rig="ict", rig_parameters=avatar.motion)
        pictures = [avatar.render(one, t).output.rgb[0] for t in range(POSES)]
        self.pictures = [(255 * p.clamp(0, 1)).round().to(torch.uint8).numpy() for p in pictures]

    def frame(self, view: int) -> Frame:
        return Frame(self.pictures[view], np.full((SIZE, SIZE), 255, np.uint8))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_example(tmp_path_factory.mktemp("ict")))


def parts(path: str, identity: Tensor) -> Parts:
    rig: Rig = create("rig", "ict", {"path": path})
    rig.prepare({"shape": identity})
    return Parts(rig, create("deformer", "jbs"), create("appearance", "sh"), create("rasterizer", "cpu"))


def avatar_of(path: str, identity: Tensor) -> Avatar:
    """A coloured surfel on every triangle."""
    made = parts(path, identity)
    rest, random = made.rig.rest(), tiny.generator(1)
    triangle = torch.arange(len(rest.topology.triangles))
    surfels = Surfels.create(made.specs(), triangle, rest.topology, tiny.generator(0))
    with torch.no_grad():
        colour = surfels.parameters["sh_dc"]
        colour += 0.5 * torch.randn(colour.shape, generator=random)
        surfels.parameters["opacity"] += 3
        surfels.parameters["log_scale"] -= 0.7
    motion = {
        name: 0.05 * torch.randn(POSES, info.size, generator=random) * (name != "translation")
        for name, info in made.rig.parameters().items()
    }
    values = {name: value.detach() for name, value in surfels.parameters.items()}
    return assemble(made, AvatarState(triangle, torch.ones(3), values, motion, {"shape": identity}))


def trainer_of(avatar: Avatar, scene: Scene, folder: Path, **rig: bool) -> Trainer:
    """A trainer in which only the identity learns, if anything of the rig does."""
    still = [*avatar.surfels.specs, *(f"rig.{name}" for name in avatar.rig.parameters())]
    groups = {
        avatar.surfels.specs[name].group or name if name in avatar.surfels.specs else name for name in still
    }
    rate: dict[str, Any] = {name: Rate(initial=0.0) for name in groups}
    if all(rig.values()):
        rate["rig.shape"] = Rate(initial=0.1)
    config = RunConfig(
        iterations=24,
        device="cpu",
        checkpoint=Occasions(every=12),
        evaluate=Occasions(every=0),
        rate=rate,
        **rig,
    )
    return Trainer(
        config,
        avatar,
        TrainingData(scene, scene.views.of("train"), extent=1.0),
        [WeightedTerm("l1", create("regularizer", "l1"), 1.0, 0, 0)],
        create("densifier", "adaptive", {"every": 0, "reset_every": 0}),
        Record(folder, Events([]), describe=dict, evaluate=lambda run, last: None),
    )


def test_a_wrong_identity_is_learnt_kept_and_resumed(path: str, tmp_path: Path) -> None:
    scene = Drawn(avatar_of(path, TRUE))
    learning = {"train_rig": True, "train_identity": True}
    trainer = trainer_of(avatar_of(path, WRONG), scene, tmp_path, **learning)
    trainer.run()
    learnt = trainer.avatar.identity["shape"].detach()
    assert float((learnt - TRUE).abs().max()) < 0.3
    # the rig at hand and the checkpoint have what was learnt
    assert torch.equal(trainer.avatar.rig.rest().vertices, parts(path, learnt).rig.rest().vertices)
    saved, newest = tmp_path / "checkpoints", checkpoint.latest(tmp_path)
    assert newest is not None
    assert torch.equal(checkpoint.read(newest, CPU)[0]["identity/shape"], learnt)
    # going on from half way gives the same
    shutil.rmtree(newest)
    tensors, meta = checkpoint.read(saved / "00000012", CPU)
    state = AvatarState.from_tensors(tensors, CPU)
    half = assemble(parts(path, state.identity["shape"]), state)
    again = trainer_of(half, scene, tmp_path, **learning)
    again.restore(tensors, meta)
    again.run()
    assert not torch.equal(state.identity["shape"], learnt)
    assert torch.equal(again.avatar.identity["shape"].detach(), learnt)


def test_what_nobody_said_of_the_identity_starts_at_zero(path: str) -> None:
    """The model's mean head, from which the rig takes an identity's missing parameters, too."""
    avatar = avatar_of(path, WRONG)
    avatar.identity.clear()
    Optimiser(avatar, RunConfig(train_rig=True, train_identity=True), extent=1.0)
    assert avatar.identity["shape"].tolist() == [0.0, 0.0]
    assert avatar.identity["shape"].requires_grad


def test_nothing_of_a_step_stays_in_the_graph_of_the_next(path: str, tmp_path: Path) -> None:
    """A node that lives on belongs to the stream of its step, and a CUDA graph cannot hold the next one."""
    avatar = avatar_of(path, WRONG)
    trainer = trainer_of(avatar, Drawn(avatar), tmp_path, train_rig=True, train_identity=True)
    trainer.step()
    shape = avatar.identity["shape"]

    def node() -> Any:
        """What gathers the shape's gradient."""
        function = shape.view_as(shape).grad_fn
        assert function is not None
        return function.next_functions[0][0]

    node().metadata["of"] = "the first step"  # gone with it
    trainer.step()
    assert node().metadata == {}
    assert not torch.equal(shape.detach(), WRONG)
    trainer.feed.close()


def test_the_identity_stays_unless_it_is_asked_for(path: str, tmp_path: Path) -> None:
    avatar = avatar_of(path, WRONG)
    trainer = trainer_of(avatar, Drawn(avatar), tmp_path, train_rig=True, train_identity=False)
    assert "rig.expression" in trainer.optimiser.groups
    assert "rig.shape" not in trainer.optimiser.groups
    assert not avatar.identity["shape"].requires_grad
    trainer.feed.close()

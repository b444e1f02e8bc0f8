"""A small training run of built-in parts, found by name in the registry, for observers and formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surfhead.avatars.assembly import Parts, assemble
from surfhead.avatars.avatar import Avatar
from surfhead.avatars.state import AvatarState
from surfhead.avatars.surfels import Surfels
from surfhead.core.components import Observer
from surfhead.core.config import Occasions, RunConfig
from surfhead.core.registry import create
from surfhead.core.scene import Frame, Scene, Views
from surfhead.testing import tiny
from surfhead.training.events import Events
from surfhead.training.trainer import Record, Trainer
from surfhead.training.training_data import TrainingData
from surfhead.training.weighted_term import WeightedTerm

SURFELS = 40
TIMESTEPS = 3
HEIGHT, WIDTH = 12, 16  # one tile of the reference rasterizer


class NoiseScene(Scene):
    """Pictures of noise: one camera for training and one held out, at every timestep."""

    def __init__(self, rig: str, rig_parameters: dict[str, Tensor]) -> None:
        cameras = tiny.cameras(2, HEIGHT, WIDTH, dtype=torch.float64)
        timestep = np.repeat(np.arange(TIMESTEPS), 2)
        camera = np.tile(np.arange(2), TIMESTEPS)
        views = Views(
            camera_from_world=cameras.camera_from_world.numpy()[camera],
            intrinsics=cameras.intrinsics.numpy()[camera],
            timestep=timestep,
            camera=camera,
            split=np.where(camera == 0, "train", "val"),
            names=tuple(f"{t:02d}_{c}" for t, c in zip(timestep, camera, strict=True)),
            height=HEIGHT,
            width=WIDTH,
        )
        super().__init__(views, rig=rig, rig_parameters=rig_parameters)

    def frame(self, view: int) -> Frame:
        """Noise that depends on the view's number alone."""
        random = np.random.default_rng(view)
        image = random.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        mask = random.integers(0, 2, (HEIGHT, WIDTH), dtype=np.uint8) * np.uint8(255)
        return Frame(image, mask)


def avatar(seed: int = 0) -> Avatar:
    """The built-in head with 40 surfels, deformer ``jbs``, appearance ``sh``, rasterizer ``torch``."""
    torch.manual_seed(seed)
    rig = create("rig", "procedural")
    rest = rig.prepare({})
    deformer, appearance = create("deformer", "jbs"), create("appearance", "sh")
    parts = Parts(rig, deformer, appearance, create("rasterizer", "torch"))
    count = len(rest.topology.triangles)
    triangle = torch.linspace(0, count - 1, SURFELS).long()
    made = Surfels.create(parts.specs(), triangle, rest.topology, tiny.generator(seed))
    random = tiny.generator(seed + 1)
    with torch.no_grad():
        for value in made.parameters.values():
            value += 0.2 * torch.randn(value.shape, generator=random)
        made.parameters["log_scale"] += 1.5
    motion = {
        name: 0.05 * torch.randn(TIMESTEPS, info.size, generator=random)
        for name, info in rig.parameters().items()
    }
    values = {name: value.detach() for name, value in made.parameters.items()}
    return assemble(parts, AvatarState(triangle, torch.ones(3), values, motion))


def train(folder: Path, observers: list[Observer], iterations: int = 6) -> tuple[Trainer, Events]:
    """Train for some images, with one evaluation and one checkpoint on the way, and give what is left.

    Args:
        folder: the run's folder.
        observers: its listeners.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn = avatar()
    config = RunConfig(
        iterations=iterations,
        batch_size=2,
        device="cpu",
        checkpoint=Occasions(every=4),
        evaluate=Occasions(every=4),
    )
    scene = NoiseScene("procedural", drawn.motion)
    events = Events(observers)

    def evaluate(run: Any, last: bool) -> None:
        del last
        events.tell("evaluated", run=run, images=run.images, split="val", means={"psnr": 20.0, "ssim": 0.5})

    trainer = Trainer(
        config,
        drawn,
        TrainingData(scene, scene.views.of("train"), extent=1.0),
        [WeightedTerm("l1", create("regularizer", "l1"), 1.0, 0, 0)],
        create("densifier", "adaptive"),
        Record(folder, events, describe=dict, evaluate=evaluate),
    )
    trainer.run()
    return trainer, events

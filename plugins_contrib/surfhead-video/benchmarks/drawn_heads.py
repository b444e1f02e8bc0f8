"""ICT heads drawn by ray casting, for the scripts of this folder: a person in any pose before any camera."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from surfhead.core.api import Cameras, Frame, create
from surfhead.plugins.datasets.synthetic.renderer import Renderer

TURNED = np.diag([1.0, -1.0, -1.0])  # from the head's axes (y up, z forward) to the camera's (OpenCV)


def random_shape(generator: np.random.Generator, count: int, strength: float = 0.8) -> np.ndarray:
    """(count,) identity coefficients of somebody."""
    return generator.normal(size=count).clip(-2, 2) * strength


def random_expression(generator: np.random.Generator, names: tuple[str, ...]) -> np.ndarray:
    """(K,) a few expressions at work, many of them on both sides alike; in a fifth of all cases none."""
    values = np.zeros(len(names))
    if generator.uniform() < 0.2:
        return values
    for index in generator.choice(len(names), generator.integers(1, 5), replace=False):
        values[index] = generator.uniform(0.2, 1.0)
        name = names[index]
        other = name[:-1] + {"L": "R", "R": "L"}.get(name[-1], name[-1])
        if other in names and generator.uniform() < 0.7:
            values[names.index(other)] = values[index]
    if generator.uniform() < 0.5:
        values[names.index("jawOpen")] = generator.uniform(0.05, 0.7)
    return values


@dataclass
class Person:
    """One identity with its texture.

    Attributes:
        steady_light: the sky's share above each vertex is that of the rest pose: half of the time to draw.
        rig: the prepared ICT head.
        renderer: draws it.
    """

    head: Path
    shape: np.ndarray
    seed: int
    background: tuple[float, float, float] = (0.5, 0.5, 0.5)
    detail: int = 2
    supersampling: int = 2
    steady_light: bool = False

    def __post_init__(self) -> None:
        options = {"path": str(self.head)}
        self.rig = create("rig", "ict", options)
        self._openness: torch.Tensor | None = None
        template = create("rig", "ict", options)
        rest = self.rig.prepare({"shape": torch.from_numpy(self.shape).float()})
        self.renderer = Renderer(
            rest, template.prepare({}), self.seed, self.detail, 5, self.supersampling, self.background
        )

    def draw(self, parameters: dict[str, np.ndarray], cameras: Cameras) -> list[Frame]:
        """Pictures of one pose; parameters are (size,) arrays by the rig's names."""
        row = {name: torch.from_numpy(np.asarray(value))[None].float() for name, value in parameters.items()}
        if self.steady_light and self._openness is None:
            self._openness = self.renderer.pose(self.rig.rest().vertices).openness
            self.renderer._openness = lambda caster, vertices: self._openness
        with torch.no_grad():
            pose = self.renderer.pose(self.rig(row).vertices[0])
            return self.renderer.draw(pose, cameras)


def camera(rotation: np.ndarray, translation: np.ndarray, focal: float, size: int) -> Cameras:
    """One camera of square pictures in which the head's rest frame has this pose (OpenCV axes, metres)."""
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, translation
    intrinsics = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1.0]])
    return Cameras(torch.from_numpy(pose)[None], torch.from_numpy(intrinsics)[None], size, size)

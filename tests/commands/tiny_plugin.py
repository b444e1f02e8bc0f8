"""A plugin file for the tests: a static scene of 80 points seen by four cameras, with faults to order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from surfhead.core.api import Dataset, Format, Frame, Observer, Scene, Views, hookimpl, option

SIZE = 24


class TinyScene(Scene):
    """Grey pictures with a dark corner; view 1 is what goes wrong."""

    fault = ""

    def frame(self, view: int) -> Frame:
        height = SIZE + 1 if self.fault == "size" and view == 1 else SIZE
        image = np.full((height, SIZE, 3), 90 + 10 * view, dtype=np.uint8)
        image[0, 0] = 0
        return Frame(image)


class Tiny(Dataset):
    """Four cameras in a row, two metres from eighty points."""

    name = "tiny"
    summary = "Eighty points."
    held_out = True
    writes = True

    @dataclass(frozen=True)
    class Options:
        """What goes wrong."""

        fault: Literal["none", "camera", "size"] = option(
            "none", "camera: one holds NaN; size: a picture is too high."
        )

    @classmethod
    def recognises(cls, path: Path) -> bool:
        return (path / "tiny.txt").is_file()

    def open(self, path: Path | None) -> Scene:
        pose = np.tile(np.eye(4), (4, 1, 1))
        pose[:, 0, 3] = np.linspace(-0.2, 0.2, 4)
        pose[:, 2, 3] = 2.0
        if self.options.fault == "camera":
            pose[1, 0, 3] = np.nan
        focal = float(SIZE)
        lens = np.array([[focal, 0, SIZE / 2], [0, focal, SIZE / 2], [0, 0, 1]])
        views = Views(
            pose,
            np.tile(lens, (4, 1, 1)),
            np.zeros(4, dtype=np.int64),
            np.arange(4),
            np.array(["train", "train", "train", "val"]),
            tuple(f"view-{i}" for i in range(4)),
            SIZE,
            SIZE,
        )
        points = np.random.default_rng(0).uniform(-0.4, 0.4, (80, 3))
        scene = TinyScene(views, rig="none", rig_parameters={}, points=points)
        scene.fault = self.options.fault
        return scene

    def write(self, scene: Scene, folder: Path) -> list[Path]:
        views = scene.views
        lines = [f"{views.width}x{views.height}", scene.rig, *views.names]
        (folder / "tiny.txt").write_text("\n".join(lines))
        return [folder / "tiny.txt"]


class Raiser(Observer):
    """Raises at the second step."""

    name = "raiser"
    summary = "Raises at the second step."

    def stepped(self, run: Any, images: int, losses: Any) -> None:
        if images == 2:
            raise ValueError("no ink")


class Scroll(Format):
    """Neither reads nor writes."""

    name = "scroll"
    summary = "To be looked at."


@hookimpl
def register_formats(register: Any) -> None:
    register(Scroll)


@hookimpl
def register_datasets(register: Any) -> None:
    register(Tiny)


@hookimpl
def register_observers(register: Any) -> None:
    register(Raiser)

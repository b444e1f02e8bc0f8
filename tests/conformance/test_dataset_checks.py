"""The checks of data sets each reject what they should."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from surfhead.core.api import DataError, Dataset, Frame, Scene, create
from surfhead.testing import check, run
from tests.conformance.planted import checks_of_kind_alone, error_of

MARK = "noise.txt"


def motion() -> dict[str, torch.Tensor]:
    infos = create("rig", "procedural").parameters()
    return {name: torch.zeros(run.TIMESTEPS, info.size) for name, info in infos.items()}


class Noise(Dataset):
    """Sound: pictures of noise; its folder holds one marked file."""

    name = "noise"
    summary = "Noise."
    scene: type[run.NoiseScene] = run.NoiseScene

    @classmethod
    def example(cls, folder: Path) -> Noise:
        (folder / MARK).write_text("noise")
        return cls()

    @classmethod
    def recognises(cls, path: Path) -> bool:
        return (path / MARK).is_file()

    def open(self, path: Path | None) -> Scene:
        if path is None:
            raise DataError("There is no path.")
        return self.scene("procedural", motion())


def viewed(**changes: Any) -> type[Noise]:
    """A data set whose views have these parts made anew, each by a function of the sound views."""

    class Viewed(Noise):
        def open(self, path: Path | None) -> Scene:
            scene = super().open(path)
            scene.views = replace(
                scene.views, **{name: change(scene.views) for name, change in changes.items()}
            )
            return scene

    return Viewed


def framed(change: Any) -> type[Noise]:
    """A data set whose frames are changed."""

    class Framed(run.NoiseScene):
        def frame(self, view: int) -> Frame:
            return change(super().frame(view))

    return type("Framed", (Noise,), {"scene": Framed})


def flipped(views: Any) -> np.ndarray:
    poses: np.ndarray = views.camera_from_world.copy()
    poses[:, :3, :3] *= 1.5
    return poses


class WrongSize(Noise):
    def open(self, path: Path | None) -> Scene:
        scene = super().open(path)
        scene.rig_parameters["expression"] = torch.zeros(run.TIMESTEPS, 3)
        return scene


class UnknownParameter(Noise):
    def open(self, path: Path | None) -> Scene:
        scene = super().open(path)
        scene.rig_parameters["smile"] = torch.zeros(run.TIMESTEPS, 3)
        return scene


class UnknownRig(Noise):
    def open(self, path: Path | None) -> Scene:
        scene = super().open(path)
        scene.rig = "proceduraal"
        return scene


class NothingToStartFrom(Noise):
    def open(self, path: Path | None) -> Scene:
        return self.scene("none", {})


class Random(run.NoiseScene):
    def frame(self, view: int) -> Frame:
        noise = np.random.default_rng().integers(0, 256, (run.HEIGHT, run.WIDTH, 3), dtype=np.uint8)
        return Frame(noise)


class RandomFrames(Noise):
    scene = Random


class SharedBuffer(run.NoiseScene):
    """Decodes into one buffer."""

    buffer = np.zeros((run.HEIGHT, run.WIDTH, 3), dtype=np.uint8)

    def frame(self, view: int) -> Frame:
        self.buffer[:] = super().frame(view).image
        time.sleep(0.002)
        return Frame(self.buffer.copy())


class Unsafe(Noise):
    scene = SharedBuffer


class DarkerPictures(run.NoiseScene):
    """What training reads is not what is measured."""

    def picture(self, view: int) -> Frame:
        frame = self.frame(view)
        return replace(frame, image=frame.image // 2)


class OtherPictures(Noise):
    scene = DarkerPictures


class RecognisesAll(Noise):
    @classmethod
    def recognises(cls, path: Path) -> bool:
        return path.is_dir()


class RecognisesMissing(Noise):
    @classmethod
    def recognises(cls, path: Path) -> bool:
        return not path.exists() or (path / MARK).is_file()


class RecognisesNothing(Noise):
    @classmethod
    def recognises(cls, path: Path) -> bool:
        return False


BUGS = [
    ("opens_example", viewed(names=lambda v: ("same",) * len(v)), "one name"),
    ("opens_example", viewed(split=lambda v: np.full(len(v), "training")), "Unknown splits: training"),
    ("opens_example", viewed(split=lambda v: np.full(len(v), "val")), "for training"),
    ("opens_example", viewed(timestep=lambda v: v.timestep + 1), "timestep that does not exist"),
    ("opens_example", viewed(camera_from_world=flipped), "not rigid"),
    ("opens_example", viewed(camera=lambda v: v.camera[:-1]), "camera has shape"),
    ("names_its_rig", WrongSize, '"expression" has shape'),
    ("names_its_rig", UnknownParameter, 'no parameter "smile"'),
    ("names_its_rig", UnknownRig, "proceduraal"),
    ("names_its_rig", NothingToStartFrom, "neither a rig nor points"),
    ("frames_have_declared_size", framed(lambda f: replace(f, image=f.image / 255.0)), "float64"),
    ("frames_have_declared_size", framed(lambda f: replace(f, image=f.image[:-1])), "image of"),
    ("frames_have_declared_size", framed(lambda f: replace(f, mask=f.mask[..., None])), "mask of"),
    (
        "frames_have_declared_size",
        framed(lambda f: replace(f, normal=np.full((*f.image.shape,), 0.3, dtype=np.float32))),
        "neither of length 1 nor 0",
    ),
    (
        "frames_have_declared_size",
        framed(lambda f: replace(f, depth=np.full(f.image.shape[:2], -1, dtype=np.float32))),
        "negative",
    ),
    ("deterministic", RandomFrames, "View 0 of a second opening"),
    ("pictures_are_those_of_the_frames", OtherPictures, "The image of view 0's picture"),
    ("frames_are_thread_safe", Unsafe, "decoded by a thread"),
    ("recognises_its_own", RecognisesAll, "an empty folder"),
    ("recognises_its_own", RecognisesMissing, "does not exist"),
    ("recognises_its_own", RecognisesNothing, "There is no path"),
]


def test_the_sound_one_passes(tmp_path: Path) -> None:
    assert [result for result in check(Noise, tmp_path) if not result.passed] == []


@pytest.mark.parametrize(("name", "bug", "says"), BUGS)
def test_a_planted_bug_is_rejected(name: str, bug: Any, says: str, tmp_path: Path) -> None:
    error = error_of(bug, name, tmp_path)
    assert error is not None, f"{bug} passes {name}"
    assert says in str(error)


def test_every_check_has_a_planted_bug() -> None:
    assert checks_of_kind_alone(Noise) == {name for name, _, _ in BUGS}

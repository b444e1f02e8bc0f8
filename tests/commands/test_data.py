"""`surfhead data check`, and what stands behind it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from surfhead.core.api import Frame, Rig, Scene, create
from surfhead.core.data_check import GOOD, check_scene, overlap
from tests.commands.conftest import TINY, Surfhead

SMALL = {
    **{"width": 40, "height": 40, "cameras": 3, "timesteps": 2, "test_timesteps": 1, "test_cameras": 1},
    **{"views_per_timestep": 2, "supersampling": 1, "detail": 1, "texels": 2},
}


@pytest.fixture
def scene(cache: Path) -> Scene:
    """Seven views of the built-in head."""
    opened: Scene = create("dataset", "synthetic", SMALL).open(None)
    return opened


@pytest.fixture
def rig(scene: Scene) -> Rig:
    """The built-in head."""
    made: Rig = create("rig", scene.rig)
    made.prepare(scene.identity)
    return made


def test_good_data_has_no_problem_and_the_rig_lies_on_the_head(surfhead: Surfhead, cache: Path) -> None:
    small = [f"--set=data.{key}={value}" for key, value in SMALL.items()]
    said = surfhead("data", "check", *small, "--out", "overlays")
    assert said.code == 0, said.out
    text = " ".join(said.out.split())
    assert "views 7 (4 train, 2 val, 1 test) of 40x40" in text
    assert said.out.splitlines()[-1] == "Nothing is wrong with it."
    assert float(text.partition("IoU ")[2].split()[0]) > 0.9
    overlays = sorted(Path("overlays").iterdir())
    assert len(overlays) == 7
    pixels = np.asarray(Image.open(overlays[0])).astype(int)
    assert pixels.shape == (40, 40, 3)
    tinted = pixels[..., 0] > pixels[..., 2] + 60
    assert 0.3 < tinted.mean() < 0.9


def opengl(pose: np.ndarray) -> np.ndarray:
    return np.diag([1.0, -1.0, -1.0, 1.0]) @ pose


def centimetres(pose: np.ndarray) -> np.ndarray:
    scaled = pose.copy()
    scaled[:, :3, 3] *= 100
    return scaled


@pytest.mark.parametrize(
    ("spoil", "said"),
    [(opengl, "OpenGL's"), (np.linalg.inv, "world-from-camera"), (centimetres, "100 times too large")],
)
def test_wrong_camera_conventions_are_named(scene: Scene, rig: Rig, spoil: object, said: str) -> None:
    spoiled = spoil(scene.views.camera_from_world)  # type: ignore[operator]
    scene.views = replace(scene.views, camera_from_world=spoiled)
    report = check_scene(scene, rig, 4)
    assert report.iou is not None
    assert report.iou < GOOD
    (problem,) = report.problems
    assert said in problem


def test_a_translation_that_is_not_centred_is_named(scene: Scene, rig: Rig) -> None:
    scene.rig_parameters["translation"] = scene.rig_parameters["translation"] + torch.tensor([0.0, 0.5, 0.0])
    (problem,) = check_scene(scene, rig, 4).problems
    assert "not centred" in problem


def test_gaps_and_damaged_pictures_are_told(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.rig_parameters = {k: torch.cat([v, v[:1]]) for k, v in scene.rig_parameters.items()}
    whole = scene.frame

    def damaged(view: int) -> Frame:
        frame = whole(view)
        return replace(frame, image=frame.image[1:]) if view == 2 else frame

    monkeypatch.setattr(scene, "frame", damaged)
    report = check_scene(scene, None, 0)
    unseen, picture = report.problems
    assert unseen.startswith("1 timesteps have no picture, the first is 3;")
    assert picture.startswith(f'Image of view "{scene.views.names[2]}" is uint8 (39, 40, 3).')
    assert len(report.samples) == 6
    assert report.iou is None


def test_problems_give_exit_code_1(surfhead: Surfhead) -> None:
    tiny = ("data", "check", "--plugin", str(TINY), "--set", "data.name=tiny", "--set", "deformer=static")
    assert surfhead(*tiny).code == 0
    said = surfhead(*tiny, "--set", "data.fault=size")
    assert said.code == 1
    assert said.out.splitlines()[-1].startswith('Problem: Image of view "view-1" is uint8 (25, 24, 3).')


def test_overlap() -> None:
    first, second = np.zeros((4, 4), dtype=bool), np.zeros((4, 4), dtype=bool)
    assert overlap(first, second) == 1.0
    first[:, :2] = True
    second[:, 1:3] = True
    assert overlap(first, second) == pytest.approx(1 / 3)

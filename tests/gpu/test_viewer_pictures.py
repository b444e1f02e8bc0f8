"""The viewer's pictures on a GPU: replayed, begun ahead, not waited for, they are those drawn plainly."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from surfhead.avatars.avatar import Avatar
from surfhead.avatars.posing import CameraCheck, on_device
from surfhead.core.errors import ShapeError
from surfhead.data.feed import cameras_of
from surfhead.data.opening import open_scene
from surfhead.drawing.pictures import Coming
from surfhead.runs.configuration import configure
from surfhead.runs.train import make_trainer
from surfhead.training.trainer import Trainer
from surfhead.viewing.lighting import Lighting
from surfhead.viewing.painter import Painter
from surfhead.viewing.puppet import Stance, Track
from surfhead.viewing.shot import Shot
from surfhead.viewing.viewpoint import start_viewpoint
from tests.gpu.test_captured_drawing import SETTINGS

pytestmark = pytest.mark.gpu
DEVICE = "cuda"
BUSY = 50_000_000  # cycles: long enough for the host to be far ahead


@pytest.fixture(params=["lasg", "lit"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Trainer]:
    """A trainer whose pictures can be captured."""
    config = configure(preset="paper", settings={**SETTINGS, "appearance": {"name": request.param}})
    made = make_trainer(config, open_scene(config), tmp_path / "run", torch.device(DEVICE))
    yield made
    made.feed.close()


def still(avatar: Avatar) -> Avatar:
    """Its motion does not learn, as that of a finished run."""
    avatar.motion = {name: rows.detach().clone() for name, rows in avatar.motion.items()}
    return avatar


def plain(painter: Painter, shot: Shot, height: int, width: int) -> np.ndarray:
    """Drawn launch by launch, and waited for."""
    painter.avatar.graphs = False
    try:
        return painter.picture(shot, height, width)
    finally:
        painter.avatar.graphs = True


def shots_of(avatar: Avatar, count: int) -> list[Shot]:
    """Poses and viewpoints in turn, held values, another background, hidden surfels, another light."""
    view = start_viewpoint(avatar)[0]
    x, y, z = view.position
    aside = replace(view, position=(x + 0.02, y, z))
    light = Lighting(name="sunset") if avatar.appearance.relightable else Lighting()
    changes = [
        {},
        {"viewpoint": aside},
        {"background": (0.1, 0.9, 0.4)},
        {"opacity_scale": 0.5},
        {"lighting": light},
        {"channel": "normal"},
    ]
    return [
        replace(
            Shot(view),
            stance=Stance(timestep=index % 4, held={("jaw", 0): 0.02 * index}),
            **changes[index // 2 % len(changes)],
        )
        for index in range(count)
    ]


def busy() -> None:
    torch.cuda._sleep(BUSY)


def replayed(painter: Painter) -> bool:
    """Whether pictures are drawn from a graph; for a moment they are not where room was too little."""
    return any(work.captured for work in painter.avatar._drawing._works.values())


def test_alone_and_in_turn_they_are_those_drawn_plainly(run: Trainer) -> None:
    captured = 0
    painter = Painter(still(run.avatar))
    shots = shots_of(painter.avatar, 36)
    wanted = [plain(painter, shot, 60, 44) for shot in shots]
    assert len({picture.tobytes() for picture in wanted}) > 30
    for shot, expected in zip(shots, wanted, strict=True):
        np.testing.assert_array_equal(painter.picture(shot, 60, 44), expected)
        captured += replayed(painter)
    found = list(painter.pictures(shots, 60, 44))  # all are kept, and none is overwritten by a later one
    for picture, expected in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(picture, expected)
    assert captured > 20


def test_sizes_take_turns(run: Trainer) -> None:
    painter = Painter(still(run.avatar))
    sizes = ((60, 44), (31, 57), (90, 90))
    shots = shots_of(painter.avatar, 12)
    begun = [painter.begin(shot, *sizes[index % 3]) for index, shot in enumerate(shots)]
    for index, coming in enumerate(begun):
        assert not coming.drawn
        np.testing.assert_array_equal(coming.wait(), plain(painter, shots[index], *sizes[index % 3]))


def test_a_run_in_training_shows_its_latest(run: Trainer) -> None:
    """What was begun before a step shows the time before it; surfels, motion and network learn."""
    painter, before, captured = Painter(run.avatar), None, 0
    shot = Shot(start_viewpoint(run.avatar)[0], Stance(timestep=1))
    for _ in range(20):
        for _ in range(3):
            wanted = plain(painter, shot, 60, 44)
            begun = painter.begin(shot, 60, 44)
            np.testing.assert_array_equal(painter.picture(shot, 60, 44), wanted)
            captured += replayed(painter)
        assert before is None or (before != wanted).any()
        before = wanted
        for _ in range(3):
            run.step()
        np.testing.assert_array_equal(begun.wait(), wanted)
    assert captured > 20


def test_a_motion_that_is_changed_in_place_is_seen(run: Trainer) -> None:
    avatar = still(run.avatar)
    painter, shot = Painter(avatar), Shot(start_viewpoint(avatar)[0], Stance(timestep=2))
    assert all(not rows.is_cuda for rows in painter.pose(shot).values())
    first = painter.picture(shot, 40, 40)
    avatar.motion["translation"][2, 0] += 0.03
    moved = painter.picture(shot, 40, 40)
    assert (moved != first).any()
    np.testing.assert_array_equal(moved, plain(painter, shot, 40, 40))
    avatar.motion["translation"] = avatar.motion["translation"] - 0.03
    shown = painter.pose(shot)["translation"]
    torch.testing.assert_close(shown, avatar.motion["translation"][2:3].cpu(), rtol=0, atol=0)
    track = Track("other", {"translation": torch.full((1, 3), 0.01, device=DEVICE)})
    assert painter.pose(replace(shot, stance=Stance(track)))["translation"].tolist() == [
        [pytest.approx(0.01)] * 3
    ]


def test_what_cannot_be_drawn_is_refused_and_the_next_is_right(run: Trainer) -> None:
    painter = Painter(still(run.avatar))
    shots = shots_of(painter.avatar, 4)
    wanted = [plain(painter, shot, 40, 40) for shot in shots]
    wrong = replace(shots[0], stance=Stance(held={("jaw", 1): float("nan")}))
    for _ in range(3):
        taken = painter.pictures([shots[0], shots[1], wrong, shots[2]], 40, 40)
        for expected in wanted[:2]:
            np.testing.assert_array_equal(next(taken), expected)
        with pytest.raises(ShapeError, match='"jaw" holds NaN'):
            next(taken)
    for found, expected in zip(painter.pictures(shots, 40, 40), wanted, strict=True):
        np.testing.assert_array_equal(found, expected)
    painter.avatar.motion["neck"][0] = float("inf")
    with pytest.raises(ShapeError, match='"neck" holds NaN or infinity'):
        painter.picture(replace(shots[0], stance=Stance(timestep=0)), 40, 40)


def test_other_threads_and_streams(run: Trainer) -> None:
    """Begun in one thread, waited for in others; and all of it on a stream of its own."""
    painter = Painter(still(run.avatar))
    shots = shots_of(painter.avatar, 16)
    wanted = [plain(painter, shot, 40, 40) for shot in shots]
    with ThreadPoolExecutor(4) as others:
        found = list(others.map(Coming.wait, [painter.begin(shot, 40, 40) for shot in shots]))
    own = torch.cuda.Stream()
    own.wait_stream(torch.cuda.default_stream())
    with torch.cuda.stream(own):
        found += painter.pictures(shots, 40, 40)
    own.synchronize()
    for picture, expected in zip(found, wanted + wanted, strict=True):
        np.testing.assert_array_equal(picture, expected)


def test_pixels_come_as_they_were_when_they_were_asked_for() -> None:
    pixels = torch.full((64, 64, 3), 1, dtype=torch.uint8, device=DEVICE)
    busy()
    begun = []
    for value in range(8):
        pixels.fill_(value)
        begun.append(Coming(pixels))
    assert not any(coming.drawn for coming in begun)
    for value, coming in enumerate(begun):
        assert (coming.wait() == value).all()


def test_numbers_travel_together_and_memory_is_not_reused_too_early() -> None:
    like = torch.zeros(1, device=DEVICE)
    busy()
    found = []
    for value in range(200):
        there = torch.full((2,), float(value), device=DEVICE, dtype=torch.float64)
        given = [torch.full((1, 3), float(value)), there, torch.tensor([float(-value)]).expand(4, -1)]
        found.append(on_device(given, like))
    for value, (rows, there, repeated) in enumerate(found):
        assert rows.tolist() == [[value] * 3]
        assert there.tolist() == [value] * 2
        assert there.dtype == torch.float32
        assert repeated.tolist() == [[-value]] * 4
        assert rows.is_cuda


def test_cameras_are_kept_for_the_stream_they_were_moved_on(run: Trainer) -> None:
    given, check, like = cameras_of(run.scene, [0], "cpu"), CameraCheck(), torch.zeros(1, device=DEVICE)
    first = check(given, like)
    assert check(given, like) is first
    with torch.cuda.stream(torch.cuda.Stream()):
        other = check(given, like)
        assert other is not first
        torch.cuda.current_stream().synchronize()
        assert torch.equal(other.camera_from_world.cpu(), given.camera_from_world)
    assert torch.equal(first.intrinsics.cpu(), given.intrinsics)

"""One page's nonsense ends nobody's pictures."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from surfhead.core.errors import DataError
from surfhead.drawing.key_frames import KeyFrames
from surfhead.viewing.streamer import Streamer
from surfhead.viewing.wiring import permitted

CAMERA = {"camera_from_world": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1]], "fov": 25.0}


class Session:
    """Wants one picture, or cannot say what."""

    def __init__(self, broken: str = "") -> None:
        self.broken, self.left = broken, 1

    def wanted(self, now: float) -> Any:
        if self.broken == "wanted":
            raise OverflowError("cannot convert float infinity to integer")
        self.left -= 1
        return SimpleNamespace(full=True) if self.left >= 0 else None

    def rests_in(self, now: float) -> float | None:
        if self.broken == "rests_in":
            raise OverflowError
        return None

    def start(self, play: None) -> None:
        self.broken = ""

    def finished(self, *_: Any) -> None:
        pass


class Viewer:
    def __init__(self, broken: str = "") -> None:
        self.session: Any = Session(broken)
        self.shown, self.told = 0, [Exception()][:0]

    def show(self, pixels: np.ndarray, request: Any) -> None:
        self.shown += 1

    def failed(self, error: Exception) -> None:
        self.told.append(error)


@pytest.mark.parametrize("broken", ["wanted", "rests_in"])
def test_what_cannot_be_decided_is_told_and_the_others_go_on(broken: str) -> None:
    streamer = Streamer(lambda request: np.zeros((2, 2, 3), np.uint8))
    wrong, right = Viewer(broken), Viewer()
    streamer.add(wrong)
    streamer.add(right)
    assert streamer.step()
    if broken == "rests_in":
        assert streamer._rests(wrong) > 0
    else:
        assert [type(error) for error in wrong.told] == [OverflowError]
    while streamer.step():
        pass
    assert right.shown == 1
    assert wrong.shown == 1  # it plays no more, and sees a picture again
    assert wrong.session.broken == ""


@pytest.mark.parametrize(
    "change",
    [
        {"fps": 1e308},
        {"fps": 0},
        {"fps": float("nan")},
        {"frames": []},
        {"frames": [{"time": 1e300, "camera": CAMERA}]},
        {"frames": [{"time": 0, "camera": {**CAMERA, "fov": 1e-300}}]},
        {"frames": [{"time": 0, "camera": CAMERA, "pose": {"jaw": [1e300, 0, 0]}}]},
        {"frames": [{"time": 0, "camera": CAMERA}] * 10_001},
        {"fps": 1000, "frames": [{"time": t, "camera": CAMERA} for t in (0, 80000)]},
    ],
)
def test_key_frames_out_of_any_sense_are_refused(change: dict[str, Any]) -> None:
    content = {"fps": 25, "frames": [{"time": 0, "camera": CAMERA}]}
    KeyFrames.from_table(content)
    with pytest.raises(DataError):
        KeyFrames.from_table({**content, **change})


def test_values_of_controls_are_clamped() -> None:
    slider = SimpleNamespace(min=64, max=2048)
    rows = {12000: 2048, -1: 64, 512: 512, float("inf"): None, float("nan"): None, "many": None, True: None}
    for given, kept in rows.items():
        assert permitted(slider, given) == kept
    assert permitted(slider, [1, 2]) is None
    choice = SimpleNamespace(options=("rgb", "depth"))
    assert permitted(choice, "depth") == "depth"
    assert permitted(choice, "../x") is None
    assert permitted(SimpleNamespace(), "text") == "text"

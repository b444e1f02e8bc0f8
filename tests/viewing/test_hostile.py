"""One page's nonsense ends nobody's pictures."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from surfhead.core.errors import DataError
from surfhead.drawing.key_frames import KeyFrames
from surfhead.viewing.heard import permitted
from surfhead.viewing.key_frame_panel import KeyFramePanel
from surfhead.viewing.streamer import Streamer
from surfhead.viewing.wiring import _in_turn

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


def test_a_vector_and_a_box_take_only_what_they_have() -> None:
    point, box = SimpleNamespace(value=(0.0, 0.0, 0.0)), SimpleNamespace(value=False)
    assert permitted(point, [1, 2.0, -1e9]) == (1, 2.0, -1e6)
    for given in ([1, 2], [1, 2, float("nan")], ["a", "b", "c"], "abc", None, 5, [10**400, 0, 0]):
        assert permitted(point, given) is None
    assert permitted(box, True) is True
    assert permitted(box, [0] * 1000) is None


GARBAGE = [
    float("nan"),
    -float("inf"),
    1e308,
    10**15,
    "",
    "9" * 5000,
    None,
    True,
    [],
    [[]] * 3,
    {"a": 1},
    b"\xff",
]


def test_garbage_for_every_control_and_of_every_kind_ends_nothing(trained_run: Path) -> None:
    pytest.importorskip("viser", reason="the extra viewer (package viser) is not installed")
    from surfhead.runs.run import load_avatar
    from surfhead.testing.page_client import PageClient
    from surfhead.viewing.page import Page

    page = Page(load_avatar(trained_run, device="cpu"), port=0, size=64)
    page.run()
    attacker, other = (PageClient(page.url, page.start, 64, 64) for _ in range(2))
    try:
        other.picture()
        last = attacker.control("Make a film")  # the last control but one: all are there
        rows = [row for kind, found in attacker.messages.items() if kind.startswith("Gui") for row in found]
        controls = {str(row["uuid"]) for row in rows if "props" in row}
        assert last in controls
        for uuid in controls:
            for name in ("props", "removed", "update_cb", "is_button", "uuid", "nothing"):
                attacker.send({"type": "GuiUpdateMessage", "uuid": uuid, "updates": {name: None}})
            for value in GARBAGE:
                attacker.send({"type": "GuiUpdateMessage", "uuid": uuid, "updates": {"value": value}})
        attacker.send({"type": "GuiFormDirtyMessage", "uuid": "x" * 1000})  # viser would pass it on to all
        attacker.set("Size", 1e9)
        visitors: list[Any] = list(page.visitors.values())
        assert attacker.wait(lambda: sorted(visitor.session.size for visitor in visitors) == [64, 4096])
        (attacked,) = [visitor for visitor in visitors if visitor.session.size == 4096]
        (side,) = [panel.key_frames._side for panel in attacked.panels if hasattr(panel, "key_frames")]
        assert (side.min, side.max) == (64, 1920)
        assert 64 <= side.value <= 1920
        with pytest.raises(ValueError, match="no such message"):
            attacker.send({"type": "NoSuchMessage"})
        attacker.send({"type": "NoSuchMessage"}, unknown=True)  # which ends its connection alone
        newcomer = PageClient(page.url, page.start, 64, 64)
        assert newcomer.picture().shape == (64, 64, 3)
        newcomer.close()
        other.after(lambda: other.set("Channel", "depth"))  # it still hears, and is heard
        assert "GuiFormDirtyMessage" not in other.messages
    finally:
        attacker.close()
        other.close()
        page.close()


def test_one_page_has_a_share_of_the_threads_and_one_film() -> None:
    told: list[str] = []
    visitor: Any = SimpleNamespace(hands=threading.Semaphore(2), say=lambda words: told.append(str(words)))
    began, go_on = threading.Semaphore(0), threading.Event()

    def act() -> None:
        began.release()
        go_on.wait()

    threads = [threading.Thread(target=_in_turn, args=(visitor, act)) for _ in range(2)]
    for thread in threads:
        thread.start()
        began.acquire()
    _in_turn(visitor, act)  # returns at once
    assert told == ["Still busy with what you asked for before."]
    go_on.set()
    for thread in threads:
        thread.join()
    _in_turn(visitor, act)
    assert len(told) == 1

    panel = object.__new__(KeyFramePanel)
    panel._filming, page = threading.Lock(), SimpleNamespace(films=threading.Semaphore(2))
    panel.visitor = SimpleNamespace(page=page)  # type: ignore[assignment]
    with panel._one_film(), pytest.raises(DataError, match="already"), panel._one_film():
        pass
    assert page.films.acquire(blocking=False)  # what was refused took no place of others
    assert page.films.acquire(blocking=False)
    for _ in range(2):  # and is not refused for ever
        with pytest.raises(DataError, match="Other films"), panel._one_film():
            pass
    page.films.release()
    with panel._one_film():
        pass


def test_pictures_too_large_to_send_are_refused_before_they_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    panel, made = object.__new__(KeyFramePanel), []

    def pictures() -> Any:
        for number in range(1000):
            made.append(number)
            yield np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8)  # 12 kB each

    monkeypatch.setattr(panel, "_taken", pictures, raising=False)
    monkeypatch.setattr("surfhead.viewing.key_frame_panel.LARGEST", 100_000)
    with pytest.raises(DataError, match="more than"):
        panel._send_pictures()
    assert len(made) == 9

"""What the cache holds of a clip is used only where it is whole."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from surfhead_video import tracking
from surfhead_video.fitted_head import Fit
from surfhead_video.tracking import KEPT, Settings, Tracked, keep, read_tracking, write_tracking

NAN = float("nan")


def tracked(folder: Path) -> Tracked:
    """Two frames, with files of their own."""
    turns = np.tile(np.eye(3), (2, 1, 1))
    fit = Fit(500.0, np.zeros(4), turns, np.ones((2, 3)), np.zeros((2, 5)), np.zeros((2, 2)), np.arange(3.0))
    made = Tracked(
        *(folder, fit, np.arange(2), np.array([0.0, 0.04]), np.zeros((2, 6, 2)), np.zeros(2)),
        *((0, 0, 64, 48), (64, 48), (64, 48), ("a note",), {"fit": [1.0, 1.0]}),
    )
    for kind in KEPT:
        for row in range(2):
            made.file(kind, row).parent.mkdir(exist_ok=True)
            made.file(kind, row).touch()
    return made


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_tracking(tmp_path / "tracking.npz", tracked(tmp_path))
    found = read_tracking(tmp_path)
    assert found is not None
    assert (found.size, found.notes, found.fit.focal) == ((64, 48), ("a note",), 500.0)
    assert found.fit.person.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "change",
    [
        {"time": np.array([0.0, NAN])},
        {"time": np.zeros(3)},
        {"number": np.zeros(0, np.int64)},
        {"size": (0, 48)},
        {"size": (10**9, 48)},
        {"box": (0, 0, 64)},
        {"fit": {"focal": NAN}},
        {"fit": {"focal": -1.0}},
        {"fit": {"rotation": np.zeros((2, 2, 3))}},
        {"fit": {"translation": np.full((2, 3), np.inf)}},
        {"fit": {"expression": np.zeros((1, 5))}},
        {"fit": {"person": np.array([0.0, NAN, 0.0])}},
    ],
    ids=str,
)
def test_arrays_that_cannot_be_are_made_again(tmp_path: Path, change: dict[str, Any]) -> None:
    made = tracked(tmp_path)
    if "fit" in change:
        change = {"fit": dataclasses.replace(made.fit, **change["fit"])}
    write_tracking(tmp_path / "tracking.npz", dataclasses.replace(made, **change))
    assert read_tracking(tmp_path) is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
@pytest.mark.parametrize("kind", ["pipe", "endless", "cut", "folder"])
def test_a_damaged_file_is_made_again(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "tracking.npz"
    write_tracking(file, tracked(tmp_path))
    content = file.read_bytes()
    file.unlink()
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "endless":
        file.symlink_to("/dev/zero")
    elif kind == "folder":
        file.mkdir()
    else:
        file.write_bytes(content[: len(content) // 2])
    assert read_tracking(tmp_path) is None


@pytest.mark.parametrize("whole", [True, False])
def test_of_two_who_track_at_once_the_first_ones_folder_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    folder = tmp_path / "kept"

    def other_is_faster(clip: Any, unfinished: Path, made: Tracked, *rest: Any) -> None:
        for place, note in ((unfinished, "mine"), (folder, "theirs")):
            theirs = dataclasses.replace(made, folder=place, notes=(note,))
            for kind in KEPT:
                (place / kind).mkdir(parents=True, exist_ok=True)
                for row in range(2):
                    theirs.file(kind, row).touch()
            if whole or place == unfinished:
                write_tracking(place / "tracking.npz", theirs)

    (tmp_path / "given").mkdir()
    given = tracked(tmp_path / "given")
    surface = SimpleNamespace(box=lambda: (0, 0, 64, 48))
    monkeypatch.setattr(tracking, "Surface", lambda *parts: surface)
    monkeypatch.setattr(tracking, "_write_pictures", other_is_faster)
    monkeypatch.setattr(tracking, "as_detections", lambda *parts: None)
    monkeypatch.setattr(tracking, "reprojection", lambda *parts: np.zeros(2))
    monkeypatch.setattr(tracking, "doubts", lambda *parts: ["mine"])
    found: Any = SimpleNamespace(
        number=given.number, time=given.time, landmarks=given.landmarks, width=64, height=48, notes=[]
    )
    nothing: Any = None
    made = keep(nothing, folder, nothing, nothing, found, given.fit, Settings(), {}, lambda *said: None)
    kept = read_tracking(folder)
    assert kept is not None
    assert made.notes == kept.notes == (("theirs",) if whole else ("mine",))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["given", "kept"]

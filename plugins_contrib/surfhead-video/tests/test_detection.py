"""Which frames are used: without MediaPipe, by a stand-in that finds the faces it is told of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from surfhead_video.clip import ClipFrame
from surfhead_video.confidence import doubts
from surfhead_video.detection import Found, chosen, detect
from surfhead_video.landmarker import Face, find_model
from surfhead_video.scores import above_rest, arkit_name, as_coefficients
from surfhead_video.tracking import enough

from surfhead.core.api import DataError


def face(x: float, y: float, size: float) -> Face:
    corners = np.random.default_rng(0).uniform(0, 1, (478, 2))
    corners[:2] = [[0, 0], [1, 1]]
    points = (corners * size + [x, y]).astype(np.float32)
    return Face(points, np.zeros(2, np.float32), np.eye(4, dtype=np.float32), ("jawOpen", "eyeBlinkLeft"))


class Told:
    """Finds the faces listed for a frame, whose number is written into the picture."""

    def __init__(self, faces: dict[int, list[Face]]) -> None:
        self.faces = faces

    def detect(self, picture: np.ndarray) -> list[Face]:
        return sorted(self.faces.get(int(picture[0, 0, 0]), [face(20, 20, 60)]), key=lambda one: -one.size)


def frames(count: int, *, dark: range = range(0), soft: Sequence[int] = (), rate: float = 25) -> Any:
    noise = np.random.default_rng(1).integers(60, 200, (120, 160, 3)).astype(np.uint8)
    for number in range(count):
        picture = gaussian_filter(noise, (2, 2, 0)) if number in soft else noise.copy()
        picture = picture // 3 if number in dark else picture
        picture[0, 0, 0] = number
        yield ClipFrame(number, number / rate, picture)


def found(count: int, faces: dict[int, list[Face]], **shown: Any) -> Any:
    told: Any = Told(faces)
    return detect(frames(count, **shown), [told, told])


def test_frames_without_a_face_are_left_out_and_counted() -> None:
    made = chosen(found(10, {3: [], 4: []}))
    assert made.number.tolist() == [0, 1, 2, 5, 6, 7, 8, 9]
    assert "2 of 10 frames have no face and are left out." in made.notes
    assert len(chosen(found(6, {number: [] for number in range(6)}))) == 0


def test_the_larger_of_two_faces_is_followed_also_where_the_other_grows() -> None:
    pair = {number: [face(10, 20, 60), face(90, 20, 40 + 5 * number)] for number in range(8)}
    made = chosen(found(8, pair))
    assert len(made) == 8
    assert float(made.landmarks[:, :, 0].max()) < 80
    assert any(note.startswith("8 frames show more than one face") for note in made.notes)


def test_the_longest_shot_of_a_cut_film_is_kept() -> None:
    made = chosen(found(20, {}, dark=range(0, 7)))
    assert made.number.tolist() == list(range(7, 20))
    assert "The clip has 2 shots; the longest, frames 7 to 19, is used." in made.notes


def test_a_face_that_leaps_is_a_cut() -> None:
    made = chosen(found(12, {number: [face(95, 20, 60)] for number in range(8, 12)}))
    assert made.number.tolist() == list(range(8))


def test_blurred_frames_are_left_out() -> None:
    made = chosen(found(20, {}, soft=(6, 11)))
    assert made.number.tolist() == [number for number in range(20) if number not in (6, 11)]
    assert "2 blurred frames are left out." in made.notes


def test_a_blurred_turn_is_left_out_at_any_rate() -> None:
    for rate, soft in ((25, range(50, 55)), (100, range(90, 110))):
        made = chosen(found(200, {}, soft=soft, rate=rate))
        assert made.number.tolist() == [number for number in range(200) if number not in soft]


def test_a_face_may_be_elsewhere_after_some_time_but_not_after_some_frames() -> None:
    gone: dict[int, list[Face]] = {number: [] for number in range(8, 16)}
    gone |= {number: [face(95, 20, 60)] for number in range(16, 22)}
    assert len(chosen(found(22, gone))) == 14  # a third of a second
    assert chosen(found(22, gone, rate=100)).number.tolist() == list(range(8))
    leaps = {number: [face(95, 20, 60)] for number in range(8, 12)}
    assert len(chosen(found(12, leaps, rate=4))) == 12


def test_a_face_that_leaves_the_picture_is_left_out_where_too_little_is_seen() -> None:
    made = chosen(found(12, {4: [face(-3, 20, 60)], 5: [face(-20, 20, 60)], 6: [face(115, 20, 60)]}))
    assert made.number.tolist() == [0, 1, 2, 3, 4, 7, 8, 9, 10, 11]
    assert "2 frames show only a part of the face and are left out." in made.notes


def test_a_dark_face_is_known_and_said() -> None:
    light, dim = found(8, {}), found(8, {}, dark=range(8))
    assert 0.4 < light.brightness < 0.6
    assert dim.brightness == pytest.approx(light.brightness / 3, abs=0.01)
    error = np.zeros(8)
    fit: Any = SimpleNamespace(rotation=np.tile(np.eye(3), (8, 1, 1)))
    dim.brightness = 0.05
    assert any("The face is dark, 5 % of white" in note for note in doubts(dim, fit, error))
    assert not any("dark" in note for note in doubts(light, fit, error))


def test_one_frame_is_told_of_as_one() -> None:
    crowd = [face(10, 20, 60), face(90, 20, 40)]
    made = chosen(found(20, {3: [], 4: crowd, 5: [face(115, 20, 60)]}, soft=(12,)))
    assert made.notes == [
        "1 of 20 frames has no face and is left out.",
        "1 frame shows more than one face; the largest one of the first frame is followed.",
        "1 frame shows only a part of the face and is left out.",
        "1 blurred frame is left out.",
    ]


def test_too_little_is_told_once_and_in_the_right_number() -> None:
    path = Path("me.mp4")
    for faces, frames, said in (
        ({number: [] for number in range(6)}, 6, '"me.mp4" has no face in 6 frames.'),
        ({}, 1, '"me.mp4" has 1 usable frame in 1 frame.'),
        ({0: []}, 3, '"me.mp4" has 2 usable frames in 3 frames. 1 of 3 frames has no face and is left out.'),
        (
            {number: [face(115, 20, 60)] for number in range(6)},
            6,
            '"me.mp4" has no usable frame in 6 frames. '
            "6 frames show only a part of the face and are left out.",
        ),
    ):
        with pytest.raises(DataError) as caught:
            enough(path, chosen(found(frames, faces)))
        assert caught.value.what == said


def test_a_short_clip_is_known_by_its_usable_seconds() -> None:
    def notes(count: int, rate: float, gone: range = range(0)) -> list[str]:
        times = np.array([number / rate for number in range(count) if number not in gone])
        corners = np.tile([[0.0, 0.0], [300.0, 300.0]], (len(times), 1, 1))
        rest = np.zeros((len(times), 0))
        given = Found(np.arange(len(times)), times, corners, rest, rest, rest, rest)
        fit: Any = SimpleNamespace(rotation=np.tile(np.eye(3), (len(times), 1, 1)))
        return [note for note in doubts(given, fit, np.zeros(len(times))) if note.startswith("Only")]

    assert notes(120, 60) == [
        "Only 120 frames are used, 2.0 seconds of the clip. Film half a minute or more."
    ]
    assert notes(300, 25, range(50, 150)) != []  # twelve seconds, of which four are left out
    assert notes(300, 25) == []
    assert notes(110, 5) == []
    assert notes(60, 5)[0].startswith("Only 60 frames are used, 12.0 seconds")


def test_scores_go_to_both_halves_of_split_shapes() -> None:
    names = ("browInnerUp_L", "browInnerUp_R", "eyeBlink_L", "jawLeft", "mouthSmile_R")
    given = ("browInnerUp", "eyeBlinkLeft", "jawLeft")
    made = as_coefficients(np.array([[0.1, 0.2, 0.3]]), given, names)
    np.testing.assert_allclose(made, [[0.1, 0.1, 0.2, 0.3, 0.0]])
    assert arkit_name("mouthSmile_R") == "mouthSmileRight"


def test_what_a_face_shows_at_rest_is_no_expression() -> None:
    rows = np.array([[0.3], [0.3], [0.3], [0.65], [1.0]])
    np.testing.assert_allclose(above_rest(rows)[:, 0], [0, 0, 0, 0.5, 1.0])


def test_a_score_that_wavers_shows_no_expression_half_of_the_time() -> None:
    rows = 0.3 + 0.1 * np.random.default_rng(0).normal(size=(501, 1))
    assert (above_rest(rows) > 0).mean() == pytest.approx(0.5, abs=0.01)


def test_the_models_file_is_asked_for_by_address(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SURFHEAD_CACHE", str(tmp_path))
    monkeypatch.delenv("SURFHEAD_LANDMARKER", raising=False)
    with pytest.raises(DataError, match="does not exist") as caught:
        find_model()
    assert "https://storage.googleapis.com/mediapipe-models/" in str(caught.value)
    assert "Apache-2.0" in str(caught.value)
    (tmp_path / "face_landmarker.task").write_bytes(b"another file")
    with pytest.raises(DataError, match="is not the landmark model"):
        find_model()

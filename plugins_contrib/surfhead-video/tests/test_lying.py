"""A clip that lies on its side is refused with the turn that helps: without MediaPipe, by a stand-in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from surfhead_video import tracking
from surfhead_video.clip import Clip, ClipFrame, turned
from surfhead_video.dataset import Video
from surfhead_video.detection import detect
from surfhead_video.landmarker import Face
from surfhead_video.lying import refuse_lying, upright_by_turn
from surfhead_video.masks import given_mask
from surfhead_video.tracking import Settings, cache_key

from surfhead.core.api import DataError, OptionError
from surfhead.core.component import build_options

PATH = Path("me.mp4")


def picture(number: int = 0) -> np.ndarray:
    """(48, 64, 3) of noise that is red in the upper left quarter: where the person's hair is."""
    made = np.random.default_rng(number).integers(0, 60, (48, 64, 3)).astype(np.uint8)
    made[:24, :32, 0] = 255
    return made


class Finder:
    """Finds a face in a picture by where its hair is.

    Args:
        seen: degrees of roll that are seen at all.
        blind: frames of these numbers have no face, however they are turned.
    """

    def __init__(self, seen: tuple[int, ...], blind: range = range(0)) -> None:
        self.seen, self.blind = seen, blind
        self.count = 0

    def detect(self, given: np.ndarray) -> list[Face]:
        height, width = given.shape[0] // 2, given.shape[1] // 2
        corners = {
            0: given[:height, :width],
            90: given[height:, :width],
            180: given[height:, width:],
            270: given[:height, width:],
        }
        roll = max(corners, key=lambda corner: float(corners[corner][..., 0].mean()))
        if roll not in self.seen or int(given[..., 1].max()) == 255:
            return []
        pose = np.eye(4, dtype=np.float32)
        angle = np.radians(roll)
        pose[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        points = np.random.default_rng(0).uniform(10, 40, (478, 2)).astype(np.float32)
        return [Face(points, np.zeros(2, np.float32), pose, ("jawOpen", "eyeBlinkLeft"))]


def refused(turn: int, finder: Any, already: int = 0, faceless: int = 0, count: int = 20) -> None:
    """Look at a clip that is turned clockwise by some degrees; its first frames may have no face."""

    def frames() -> Iterator[ClipFrame]:
        for number in range(count):
            made = picture(number)
            if number < faceless:
                made[..., 1] = 255
            yield ClipFrame(number, number / 25, turned(made, turn))

    refuse_lying(PATH, frames, detect(frames(), [finder]), finder, already, "--{} {}")


@pytest.mark.parametrize("seen", [(0,), (0, 90, 270), (0, 90, 180, 270)])
@pytest.mark.parametrize(("turn", "helps"), [(90, 270), (270, 90)])
def test_a_lying_clip_is_refused_with_the_turn_that_helps(
    seen: tuple[int, ...], turn: int, helps: int
) -> None:
    with pytest.raises(DataError, match=r'"me.mp4" lies on its side: of 12 frames tried, 0 show') as caught:
        refused(turn, Finder(seen))
    assert f"12 turned by {helps}° clockwise" in caught.value.what
    assert caught.value.remedy == f"Add --turn {helps}, or turn the clip itself."


def test_a_turn_that_was_asked_for_counts() -> None:
    with pytest.raises(DataError) as caught:
        refused(90, Finder((0,)), already=180)
    assert "Add --turn 90," in caught.value.remedy
    with pytest.raises(DataError) as caught:
        refused(90, Finder((0,)), already=90)  # the wrong way: without it the clip is upright
    assert "Add --turn 0," in caught.value.remedy


def test_a_clip_on_its_head_is_called_so() -> None:
    with pytest.raises(DataError, match="stands on its head") as caught:
        refused(180, Finder((0,)))
    assert "Add --turn 180," in caught.value.remedy


def test_an_upright_clip_is_not_refused_whatever_is_found() -> None:
    refused(0, Finder((0, 90, 180, 270)))
    refused(0, Finder((0,), range(0)), faceless=15)  # most frames have no face, turned or not
    refused(0, Finder(()))  # nobody is there at all
    refused(90, Finder((0,)), count=0)


def test_a_clip_of_which_only_a_few_frames_would_be_upright_is_not_refused() -> None:
    refused(90, Finder((0,)), faceless=12)


def test_the_frames_that_are_tried_are_spread_over_the_clip() -> None:
    numbers = []

    def frames() -> Iterator[ClipFrame]:
        for number in range(100):
            numbers.append(number)
            yield ClipFrame(number, number / 25, picture(number))

    finder: Any = Finder((0,))
    assert upright_by_turn(frames(), 100, finder) == {0: 12, 90: 0, 180: 0, 270: 0}
    assert upright_by_turn(frames(), 3, finder)[0] == 3
    assert len(numbers) == 100 + 3  # no more is read than is tried


def test_frames_and_masks_are_turned_together(film: Any, tmp_path: Path) -> None:
    path = film("lying.mp4", [picture(0)] * 2)
    frames = Clip(path, 90).frames()
    shown = next(frames).picture
    assert shown.shape == (64, 48, 3)
    np.testing.assert_array_equal(shown, turned(next(Clip(path).frames()).picture, 90))
    assert shown[:32, 24:, 0].mean() > 200 > 2 * shown[32:, :, 0].mean()  # clockwise: upper right now
    mask = np.zeros((48, 64), np.uint8)
    mask[:24, :32] = 255
    Image.fromarray(mask).save(tmp_path / "000000.png")
    kept: Any = type("Kept", (), {"whole": (48, 64), "size": (48, 64), "box": (0, 0, 48, 64)})
    np.testing.assert_array_equal(given_mask(tmp_path, 0, kept, 90), turned(mask, 90))
    Image.fromarray(mask[:, :50]).save(tmp_path / "000000.png")
    with pytest.raises(DataError, match="is 50x48 pixels") as caught:
        given_mask(tmp_path, 0, kept, 90)
    assert "Expected 64x48" in str(caught.value)  # as the user's files are


def test_other_turns_are_refused() -> None:
    with pytest.raises(OptionError, match='Option "turn" of data set "video" is 45') as caught:
        Settings(turn=45)
    assert "0, 90, 180, 270" in caught.value.exists
    with pytest.raises(OptionError, match='Option "turn" of dataset "video" is 45') as caught:
        build_options(Video, {"turn": 45})
    assert "Expected 0 | 90 | 180 | 270" in caught.value.exists


def test_what_was_kept_before_clips_could_be_turned_is_still_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"clip")
    rig = type("Rig", (), {"fingerprint": staticmethod(lambda: "")})
    keys = {cache_key(file, Settings(turn=turn), file, rig) for turn in (0, 90, 270)}
    assert len(keys) == 3
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(tracking.json, "dumps", lambda parts, **how: str(told.append(parts)))
    cache_key(file, Settings(), file, rig)
    cache_key(file, Settings(turn=90), file, rig)
    assert "turn" not in told[0]
    assert told[1]["turn"] == 90

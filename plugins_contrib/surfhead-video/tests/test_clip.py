"""Frames come once each, in order, with their own times, upright; what is damaged is named."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image
from surfhead_video.clip import Clip, is_clip

from surfhead.core.api import DataError


def numbered(count: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Pictures whose grey level is their number times ten; the left upper quarter is red."""
    made = []
    for number in range(count):
        picture = np.full((height, width, 3), 10 * number, np.uint8)
        picture[: height // 2, : width // 2] = [255, 0, 0]
        made.append(picture)
    return made


def ffmpeg(*arguments: object) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", *map(str, arguments)]
    subprocess.run(command, check=True)


def test_every_frame_comes_once_with_its_time(film: Any) -> None:
    clip = Clip(film("plain.mp4", numbered(12), rate=10.0))
    frames = list(clip.frames())
    assert [frame.number for frame in frames] == list(range(12))
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(12) / 10, atol=1e-3)
    levels = [float(frame.picture[30:, 40:].mean()) for frame in frames]
    np.testing.assert_allclose(levels, 10 * np.arange(12), atol=4)
    assert clip.expected() == 12


def test_portrait_metadata_turns_the_picture(film: Any, tmp_path: Path) -> None:
    turned = tmp_path / "turned.mp4"
    ffmpeg("-display_rotation", 90, "-i", film("land.mp4", numbered(3)), "-c", "copy", turned)
    picture = next(Clip(turned).frames()).picture
    assert picture.shape == (64, 48, 3)
    red = (picture[..., 0].astype(int) - picture[..., 1]) > 128
    # a quarter turn counter-clockwise takes the upper left quarter to the lower left
    assert red[40:, :20].mean() > 0.9
    assert red[:28].mean() < 0.1


def test_a_picture_is_turned_as_its_metadata_says(tmp_path: Path) -> None:
    upright = np.zeros((40, 60, 3), np.uint8)
    upright[:20, :30] = 255
    for number, (orientation, stored) in enumerate(
        [(1, upright), (6, np.rot90(upright)), (3, np.rot90(upright, 2)), (8, np.rot90(upright, 3))]
    ):
        told = Image.Exif()
        told[0x0112] = orientation
        Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / f"{number}.png", exif=told)
    frames = list(Clip(tmp_path).frames())
    assert len(frames) == 4
    for frame in frames:
        np.testing.assert_array_equal(frame.picture, upright)


def test_a_rate_that_varies_is_kept(film: Any, tmp_path: Path) -> None:
    uneven = tmp_path / "uneven.mp4"
    choose = "select='lt(n,4)+not(mod(n,3))'"
    ffmpeg("-i", film("even.mp4", numbered(13), rate=10.0), "-vf", choose, "-fps_mode", "vfr", uneven)
    times = [frame.time for frame in Clip(uneven).frames()]
    np.testing.assert_allclose(times, np.array([0, 1, 2, 3, 6, 9, 12]) / 10, atol=2e-3)


@pytest.mark.parametrize("content", [b"", b"no film at all" * 100])
def test_what_is_no_film_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "me.mp4"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r'Video ".*me.mp4" cannot be decoded') as caught:
        list(Clip(path).frames())
    assert "Expected a video that ffmpeg" in str(caught.value)


def test_a_film_of_sound_alone_is_said_to_hold_no_picture(tmp_path: Path) -> None:
    sound = tmp_path / "sound.mp4"
    ffmpeg("-f", "lavfi", "-i", "sine=duration=0.3", "-c:a", "aac", sound)
    with pytest.raises(DataError, match=r'Video ".*sound.mp4" cannot be decoded: it holds no picture'):
        list(Clip(sound).frames())


def test_a_film_cut_short_gives_the_frames_it_has(film: Any, tmp_path: Path) -> None:
    whole = film(
        "whole.mkv", [np.random.default_rng(t).integers(0, 255, (64, 64, 3), np.uint8) for t in range(40)]
    )
    short = tmp_path / "short.mkv"
    short.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    frames = list(Clip(short).frames())
    assert 1 < len(frames) < 40


def test_a_folder_of_pictures_is_a_clip_and_other_folders_are_not(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    assert not is_clip(folder)
    for number, picture in enumerate(numbered(3)):
        Image.fromarray(picture).save(folder / f"{number:03d}.png")
    assert is_clip(folder)
    assert [round(frame.time * 25) for frame in Clip(folder).frames()] == [0, 1, 2]
    Image.new("RGB", (8, 8)).save(folder / "009.png")
    with pytest.raises(DataError, match=r"009.png\" is 8x8 pixels"):
        list(Clip(folder).frames())
    (folder / "009.png").write_bytes(b"broken")
    with pytest.raises(DataError, match=r'Picture ".*009.png" cannot be decoded') as caught:
        list(Clip(folder).frames())
    assert "Expected a picture that Pillow" in str(caught.value)
    (folder / "cameras.json").write_text("{}")
    assert not is_clip(folder)
    with pytest.raises(DataError, match="is no clip"):
        Clip(tmp_path / "nowhere.mp4")


def test_leaving_early_ends_the_program(film: Any) -> None:
    frames = Clip(film("long.mp4", numbered(25))).frames()
    assert next(frames).number == 0
    frames.close()  # type: ignore[attr-defined]


def limits(folder: Path, second: Path) -> DataError:
    """What is said of a folder of a good picture and another."""
    with pytest.raises(DataError) as caught:
        list(Clip(folder).frames())
    assert str(second) in caught.value.what
    return caught.value


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
@pytest.mark.parametrize("kind", ["pipe", "endless", "bomb", "loop"])
def test_a_picture_that_ends_never_or_promises_too_much_is_refused(tmp_path: Path, kind: str) -> None:
    Image.fromarray(numbered(1)[0]).save(tmp_path / "0.png")
    second = tmp_path / "1.png"
    if kind == "pipe":
        os.mkfifo(second)
    elif kind == "endless":
        second.symlink_to("/dev/zero")
    elif kind == "loop":
        second.symlink_to(second)
    else:
        Image.new("1", (20000, 20000)).save(second)
        assert second.stat().st_size < 100_000
    assert is_clip(tmp_path)
    error = limits(tmp_path, second)
    assert len(str(error).splitlines()) == 3


def test_a_film_of_absurd_pictures_is_refused(film: Any, tmp_path: Path) -> None:
    good = film("good.mp4", numbered(2))
    wide = tmp_path / "wide.avi"
    ffmpeg("-f", "lavfi", "-i", "color=size=64x64:duration=0.1", "-c:v", "rawvideo", wide)
    content = bytearray(wide.read_bytes())
    at = content.index(b"strf") + 8
    content[at + 4 : at + 12] = (30000).to_bytes(4, "little") * 2  # width and height in its header
    wide.write_bytes(content)
    with pytest.raises(DataError, match="cannot be decoded"):
        list(Clip(wide).frames())
    assert len(list(Clip(good).frames())) == 2


def test_a_film_may_not_name_other_files(film: Any, tmp_path: Path) -> None:
    film("secret.mp4", numbered(2))
    for name, text in (
        ("list.mp4", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n"),
        ("list.mkv", "ffconcat version 1.0\nfile secret.mp4\n"),
    ):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match="cannot be decoded"):
            list(Clip(path).frames())


# imageio-ffmpeg leaves the pipes of a film that was only begun to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_clip_ends_somewhere(film: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("surfhead_video.clip.MOST", 3)
    clip = Clip(film("long.mp4", numbered(5)))
    with pytest.raises(DataError, match="more than 3 frames"):
        list(clip.frames())
    assert clip.expected() == 3


def test_what_cannot_be_there_is_no_clip(tmp_path: Path) -> None:
    assert not is_clip(tmp_path / ("x" * 300))
    assert not is_clip(tmp_path / "nul\0")
    assert not is_clip(tmp_path / "none")

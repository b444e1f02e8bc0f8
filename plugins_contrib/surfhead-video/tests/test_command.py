"""What the command and the reader say before there is anything to track: in words that work as they stand."""

from __future__ import annotations

import builtins
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
from surfhead_video import overlay as overlay_module
from surfhead_video.command import main
from surfhead_video.dataset import Video, find_files, find_head
from surfhead_video.landmarker import Landmarker, find_model
from surfhead_video.overlay import FILMS, check_film, write_overlay

from surfhead.core.api import DataError, UnavailableError, cache_folder


@pytest.fixture
def nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no variable that names a file; a clip by its name."""
    monkeypatch.setenv("SURFHEAD_CACHE", str(tmp_path / "cache"))
    for name in ("SURFHEAD_LANDMARKER", "SURFHEAD_ICT_HEAD"):
        monkeypatch.delenv(name, raising=False)
    clip = tmp_path / "me.mp4"
    clip.write_bytes(b"film")
    return clip


def test_both_files_that_are_missing_are_told_of_at_once(
    nothing: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DataError) as caught:
        Video().open(nothing)
    told = str(caught.value)
    for words in (
        'face_landmarker.task" does not exist. The ICT head',
        "--set data.landmarker=FILE, or $SURFHEAD_LANDMARKER",
        "--set data.head=FILE, or $SURFHEAD_ICT_HEAD",
    ):
        assert words in told
    assert main(["overlay", str(nothing), str(nothing.with_name("over.mp4"))]) == 2
    told = capsys.readouterr().err
    assert "--landmarker FILE, or $SURFHEAD_LANDMARKER" in told
    assert "--head FILE, or $SURFHEAD_ICT_HEAD" in told
    assert "--set" not in told


def test_a_file_that_a_variable_names_is_told_with_the_variable(
    nothing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SURFHEAD_LANDMARKER", "/nowhere/one.task")
    monkeypatch.setenv("SURFHEAD_ICT_HEAD", "/nowhere/two")
    with pytest.raises(DataError, match=r'one.task", named by \$SURFHEAD_LANDMARKER, does not exist'):
        find_model()
    with pytest.raises(DataError, match=r'two", named by \$SURFHEAD_ICT_HEAD, does not exist'):
        find_head()
    with pytest.raises(DataError, match=r'"given" does not exist') as caught:
        find_head("given")
    assert "named by" not in str(caught.value)
    with pytest.raises(DataError) as caught:
        find_files("", str(nothing))  # the head is there
    assert "ICT" not in str(caught.value)


def test_without_mediapipe_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *given: Any, **more: Any) -> Any:
        if name.startswith("mediapipe"):
            raise ModuleNotFoundError("No module named 'mediapipe'")
        return real(name, *given, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UnavailableError) as caught:
        Landmarker(Path("one.task"))
    for told in (Video.available() or "", str(caught.value)):
        assert "the package mediapipe does not load" in told
        assert '`pip install "surfhead-video[tracking]"`' in told
        assert '`pip install ".[tracking]"` in plugins_contrib/surfhead-video' in told


def test_an_overlay_that_cannot_be_is_refused_before_tracking(
    nothing: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Video, "open", lambda *given: pytest.fail("tracked"))
    for name, said in (
        ("out.txt", "ends in .mp4, .mov, .mkv, .webm"),
        ("out", "ends in .mp4, .mov, .mkv, .webm"),
        ("me.mp4", "is the clip itself"),
    ):
        assert main(["overlay", str(nothing), str(nothing.with_name(name))]) == 2
        assert said in capsys.readouterr().err
    (nothing.with_name("folder.mp4")).mkdir()
    with pytest.raises(DataError, match="is a folder"):
        check_film(nothing.with_name("folder.mp4"), nothing)


class Pictures:
    """Draws pictures without a clip."""

    def __init__(self, scene: object, rig: object) -> None:
        self.noise = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)

    def picture(self, row: int) -> np.ndarray:
        return np.roll(self.noise, row, axis=1)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(overlay_module, "Overlay", Pictures)
    tracked = SimpleNamespace(number=np.arange(40), error=np.eye(40)[7])
    return SimpleNamespace(views=range(40), rate=25.0, tracked=tracked)


@pytest.mark.parametrize("ending", FILMS)
def test_every_kind_of_film_is_written(scene: Any, tmp_path: Path, ending: str) -> None:
    from surfhead_video.clip import Clip

    film = tmp_path / f"over{ending}"
    assert write_overlay(scene, None, film) == 7
    frames = list(Clip(film).frames())
    assert (len(frames), frames[0].picture.shape) == (40, (64, 96, 3))


@pytest.mark.skipif(os.name == "nt", reason="a program there is no text")
# imageio-ffmpeg leaves the pipe to a program that broke off to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_ffmpeg_that_breaks_off_is_no_traceback(
    scene: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, real = tmp_path / "ffmpeg", imageio_ffmpeg.get_ffmpeg_exe()
    program.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        "if sys.argv[-1].endswith('over.mp4'):\n    sys.exit(3)\n"
        f"os.execv({real!r}, sys.argv)\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(program))
    with pytest.raises(DataError, match=r'Film ".*over.mp4" cannot be written: ffmpeg breaks off'):
        write_overlay(scene, None, tmp_path / "over.mp4")


def test_doctor_hears_of_mediapipe_and_of_each_file(nothing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Video.report()
    assert list(told) == ["mediapipe", "ffmpeg", "landmark model", "ICT head"]
    for label, name in (("landmark model", "face_landmarker.task"), ("ICT head", "ict.safetensors")):
        assert told[label].startswith("not found: ")
        assert str(cache_folder() / name) in told[label]
    head = cache_folder() / "ict.safetensors"
    head.parent.mkdir(parents=True, exist_ok=True)
    head.touch()
    assert Video.report()["ICT head"] == str(head)
    monkeypatch.setenv("SURFHEAD_ICT_HEAD", str(nothing))
    assert Video.report()["ICT head"] == f"{nothing}, named by $SURFHEAD_ICT_HEAD"


def test_doctor_hears_what_is_missing(nothing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *given: Any, **more: Any) -> Any:
        if name.startswith(("mediapipe", "imageio_ffmpeg")):
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *given, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    told = Video.report()
    assert "does not load" in told["mediapipe"]
    assert "surfhead-video[tracking]" in told["mediapipe"]
    assert "pip install imageio-ffmpeg" in told["ffmpeg"]

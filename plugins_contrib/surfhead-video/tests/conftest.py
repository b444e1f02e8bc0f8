"""The files that are not in the project, found beside it; without them some tests are skipped."""

from __future__ import annotations

import lzma
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from surfhead_video.landmark_places import LandmarkPlaces, landmark_places, make_rig
from surfhead_video.landmarker import reason_absent

import surfhead

SHARED = Path(surfhead.__file__).resolve().parents[2] / "shared" / "data"
MODEL = Path(os.environ.get("SURFHEAD_LANDMARKER", SHARED / "face_landmarker.task"))
HEAD = Path(os.environ.get("SURFHEAD_ICT_HEAD", SHARED / "ict20.safetensors.xz"))


@pytest.fixture(scope="session")
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ICT head."""
    if not HEAD.is_file():
        pytest.skip("the ICT head is not at hand; set SURFHEAD_ICT_HEAD to its file")
    if HEAD.suffix != ".xz":
        return HEAD
    path = tmp_path_factory.mktemp("head") / "ict.safetensors"
    path.write_bytes(lzma.decompress(HEAD.read_bytes()))
    return path


@pytest.fixture(scope="module")
def rig(head: Path) -> Any:
    """The ICT head as a rig."""
    return make_rig(head)


@pytest.fixture(scope="module")
def places(rig: Any) -> LandmarkPlaces:
    """Where the landmarks are on it."""
    return landmark_places(rig)


@pytest.fixture(scope="session")
def model() -> Path:
    """The landmark model, where MediaPipe runs."""
    if not MODEL.is_file():
        pytest.skip("the landmark model is not at hand; set SURFHEAD_LANDMARKER to its file")
    reason = reason_absent()
    if reason is not None:
        pytest.skip(reason)
    return MODEL


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Writes pictures (T, H, W, 3) uint8 as a film; gives its path."""
    import imageio_ffmpeg

    folder = tmp_path_factory.mktemp("films")

    def write(name: str, pictures: Any, *options: str, rate: float = 25.0) -> Path:
        path = folder / name
        size = (pictures[0].shape[1], pictures[0].shape[0])
        writer = imageio_ffmpeg.write_frames(
            str(path),
            size,
            fps=rate,
            quality=None,
            macro_block_size=2,
            output_params=["-crf", "12", *options],
        )
        writer.send(None)
        for picture in pictures:
            writer.send(np.ascontiguousarray(picture))
        writer.close()
        return path

    return write

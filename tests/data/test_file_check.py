"""What is wrong with a file of a data set, told by its header and end."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from surfhead.core.errors import DataError
from surfhead.data.file_check import TAIL, check_held_out, damage, damaged_files
from surfhead.testing.run import TIMESTEPS, NoiseScene

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def written(folder: Path, name: str) -> Path:
    path = folder / name
    if path.suffix == ".npy":
        np.save(path, np.arange(100.0))
    else:
        Image.fromarray(PIXELS).save(path)
    return path


@pytest.mark.parametrize("suffix", ["png", "PNG", "jpg", "jpeg", "webp", "bmp", "npy"])
def test_a_whole_file_is_fine_and_half_of_it_is_not(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path, f"x.{suffix}")
    assert damage(path) == ""
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert damage(path)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_cameras_may_write_something_behind_a_picture(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path, f"x.{suffix}")
    path.write_bytes(path.read_bytes() + bytes(60_000))
    assert damage(path) == ""
    path.write_bytes(path.read_bytes()[:-60_001])  # the last byte of its end is missing
    assert damage(path) == "is cut short"


def test_what_is_wrong_is_said_in_a_few_words(tmp_path: Path) -> None:
    assert damage(tmp_path / "absent.png") == "is missing"
    for name in ("empty.png", "empty.txt"):
        (tmp_path / name).touch()
        assert damage(tmp_path / name) == "is empty"
    (tmp_path / "odd.png").write_bytes(b"no picture")
    assert damage(tmp_path / "odd.png") == "cannot be read (UnidentifiedImageError)"
    (tmp_path / "odd.txt").write_bytes(b"no picture")
    assert damage(tmp_path / "odd.txt") == ""  # only pictures and arrays are looked into
    assert damage(tmp_path) == "cannot be read (it is a folder)"


class Kept(NoiseScene):
    """Two files a view."""

    def __init__(self, folder: Path) -> None:
        super().__init__("none", {"pose": torch.zeros(TIMESTEPS, 1)})
        self.folder = folder
        for view in range(len(self.views)):
            for file in self.files(view):
                file.write_text("whole")

    def files(self, view: int) -> tuple[Path, ...]:
        return self.folder / f"{view}.json", self.folder / f"{view}.txt"


def test_of_every_view_its_first_damaged_file_is_found(tmp_path: Path) -> None:
    scene = Kept(tmp_path)
    assert damaged_files(scene, range(6)) == {}
    for name in ("4.txt", "1.json", "1.txt"):
        (tmp_path / name).unlink()
    (tmp_path / "4.txt").touch()
    found = {1: (tmp_path / "1.json", "is missing"), 4: (tmp_path / "4.txt", "is empty")}
    assert damaged_files(scene, np.arange(6)) == found
    assert damaged_files(scene, [4]) == {4: found[4]}


def test_what_is_measured_in_the_end_is_looked_at_before(tmp_path: Path) -> None:
    scene = Kept(tmp_path)  # the odd views are held out
    (tmp_path / "2.txt").unlink()
    check_held_out(scene)
    for view in (3, 5):
        (tmp_path / f"{view}.txt").unlink()
    with pytest.raises(DataError, match=r'^2 of 3 held-out .* ".*3\.txt" of view "01_1" is missing'):
        check_held_out(scene)


def picture(kind: str, size: int = 40) -> bytes:
    """A picture of noise, which packs to about its size."""
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(noise).save(stream, kind, quality=95)
    return stream.getvalue()


def test_the_end_of_a_thumbnail_is_not_the_pictures(tmp_path: Path) -> None:
    """A camera's JPEG begins with a small one, whose end mark is long before its own."""
    path, large, small = tmp_path / "x.jpg", picture("jpeg", 300), picture("jpeg", 16)
    assert len(large) > TAIL
    assert small.endswith(b"\xff\xd9")
    segment = b"\xff\xe2" + (2 + len(small)).to_bytes(2, "big") + small
    whole = large[:2] + segment + large[2:]
    path.write_bytes(whole)
    assert damage(path) == ""
    path.write_bytes(whole[:-2])
    assert damage(path) == "is cut short"

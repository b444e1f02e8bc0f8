"""Files of a data set that are damaged: what their headers and ends tell."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from surfhead.data.file_check import TAIL, damage


def picture(kind: str, size: int = 40) -> bytes:
    """A picture of noise, which packs to about its size."""
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(noise).save(stream, kind, quality=95)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "bmp"])
def test_a_picture_whose_end_is_missing_is_damaged(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{kind}"
    whole = picture(kind)
    path.write_bytes(whole)
    assert damage(path) == ""
    path.write_bytes(whole[: len(whole) // 2])
    assert damage(path)


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

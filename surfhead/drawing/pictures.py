"""8-bit pictures, PNG files and MP4 videos."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from surfhead.files.writing import beside

VIDEO_QUALITY = 8  # of 10, ffmpeg's variable bit rate


def to_bytes(colours: Tensor) -> np.ndarray:
    """Colours in [0, 1], clipped and rounded to uint8."""
    rounded = (colours.detach().clamp(0.0, 1.0) * 255.0).round().to(torch.uint8)
    if not rounded.is_cuda:
        return rounded.numpy()
    # from pinned memory, which arrives several times as fast
    return torch.empty(rounded.shape, dtype=torch.uint8, pin_memory=True).copy_(rounded).numpy()


def save(pixels: np.ndarray, path: Path) -> None:
    """Write (H, W, 3) uint8 as a PNG file; folders are made."""
    with beside(path) as temporary:
        Image.fromarray(pixels).save(temporary)


@contextmanager
def _unsaid(name: str) -> Iterator[None]:
    """A library's own words are not said: the error that ended the work says more."""
    log = logging.getLogger(name)
    log.disabled, before = True, log.disabled
    try:
        yield
    finally:
        log.disabled = before


@contextmanager
def video(path: Path, height: int, width: int, rate: float) -> Iterator[Callable[[np.ndarray], None]]:
    """An MP4 file (H.264) that takes pictures (H, W, 3) uint8.

    Args:
        path: the file.
        height, width: of every picture; odd sizes get a repeated row or column, which H.264 needs.
        rate: pictures a second.
    """
    import imageio_ffmpeg

    size = (width + width % 2, height + height % 2)
    with beside(path) as temporary:
        temporary.touch()  # says now what ffmpeg would say in its own words
        writer = imageio_ffmpeg.write_frames(
            str(temporary),
            size,
            fps=rate,
            quality=VIDEO_QUALITY,
            macro_block_size=2,
            ffmpeg_log_level="error",
        )
        writer.send(None)

        sent = 0

        def append(pixels: np.ndarray) -> None:
            nonlocal sent
            sent += 1
            padded = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            writer.send(np.ascontiguousarray(padded))

        try:
            yield append
        finally:
            with nullcontext() if sent else _unsaid("imageio_ffmpeg"):
                writer.close()

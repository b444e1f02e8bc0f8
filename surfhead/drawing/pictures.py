"""8-bit pictures, PNG files and MP4 videos."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from surfhead.avatars.rendering import bytes_of
from surfhead.files.writing import beside

Awaited_co = TypeVar("Awaited_co", covariant=True)
VIDEO_QUALITY = 8  # of 10, ffmpeg's variable bit rate


def to_bytes(colours: Tensor) -> np.ndarray:
    """Colours in [0, 1], clipped and rounded to uint8."""
    return Coming.of(colours).wait()


class Coming:
    """Pixels on their way to the host, which meanwhile may ask for others.

    Args:
        pixels: uint8, of any shape; a GPU may overwrite them by whatever it is asked for later.
    """

    def __init__(self, pixels: Tensor) -> None:
        self._pixels = pixels
        self._there: torch.cuda.Event | None = None
        if pixels.is_cuda:  # into pinned memory, where they arrive several times as fast
            self._pixels = torch.empty(pixels.shape, dtype=pixels.dtype, pin_memory=True)
            self._pixels.copy_(pixels, non_blocking=True)
            self._there = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._there.record(torch.cuda.current_stream(pixels.device))

    @classmethod
    def of(cls, colours: Tensor) -> Coming:
        """Colours in [0, 1], clipped and rounded to uint8."""
        return cls(bytes_of(colours))

    @property
    def drawn(self) -> bool:
        """Whether they were there when they were asked for, as without a GPU."""
        return self._there is None

    def wait(self) -> np.ndarray:
        """The pixels. Raises what the GPU met on the way."""
        if self._there is not None:
            self._there.synchronize()
        return self._pixels.numpy()


class Begun(Protocol[Awaited_co]):
    """Something that was asked for, such as ``Coming``."""

    @property
    def drawn(self) -> bool:
        """Whether it was there when it was asked for."""

    def wait(self) -> Awaited_co:
        """It, once it is there."""


def arriving(begun: Iterable[Begun[Awaited_co]]) -> Iterator[Awaited_co]:
    """What was begun, in turn; where it takes a while, the next is begun before one waits for any.

    An error of ``begun`` comes after all that was begun before it.
    """
    source = iter(begun)
    before: Begun[Awaited_co] | None = None
    while True:
        failure, coming = None, None
        try:
            coming = next(source, None)
        except Exception as error:  # it is raised in its turn
            failure = error
        if before is not None:
            yield before.wait()
            before = None
        if failure is not None:
            raise failure
        if coming is None:
            return
        if coming.drawn:
            yield coming.wait()
        else:
            before = coming


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

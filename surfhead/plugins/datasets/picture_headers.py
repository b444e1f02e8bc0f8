"""What picture files say of themselves before they are decoded: their size, and whether they hold floats.

Every header is read when a data set is opened, so that a camera never describes a picture of another size.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from surfhead.core.api import DataError, cause
from surfhead.files import bounds

Size = tuple[int, int]
LARGEST = 178_956_970  # pixels; Pillow refuses to decode more, lest a small file fills the memory
TIFF = (".tif", ".tiff")
CHANNELS = 4  # of a pixel, at most
READERS = 16  # threads; reading headers waits for the disk


@dataclass(frozen=True)
class Header:
    """A picture's width and height, and whether its pixels are floats."""

    size: Size
    floats: bool = False


def unreadable(path: Path, error: Exception, expected: str = "a PNG, JPEG or TIFF picture") -> DataError:
    """The error for a picture that cannot be decoded."""
    if isinstance(error, DataError):
        return error
    reason = cause(error)
    remedy = "Restore this file, or remove its frame from the data set."
    if isinstance(error, Image.DecompressionBombError):
        reason = f"it has more than {LARGEST // 1_000_000} megapixels"
        expected = f"pictures of at most {LARGEST} pixels"
        remedy = "Scale the pictures down with another program; intrinsics follow the pictures' size."
    return DataError.of("Image", path, f"cannot be read: {reason}", expected, remedy)


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """A picture, its pixels not decoded yet; whatever Pillow raises becomes a DataError naming the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # large, yet allowed
            with Image.open(bounds.regular(path)) as image:
                bounds.picture(*image.size, path.stat().st_size)
                yield image
    except Exception as error:  # Pillow raises many kinds for damaged files
        raise unreadable(path, error) from error


def header(path: Path) -> Header:
    """A picture's header. Raises DataError naming the file."""
    try:
        with opened(path) as image:
            return Header(image.size, image.mode == "F")
    except DataError:
        if path.suffix.lower() in TIFF and path.is_file():
            return _tiff_header(path)
        raise


def _tiff_header(path: Path) -> Header:
    """The header of a TIFF picture of a kind that Pillow does not know, such as three channels of floats."""
    import tifffile

    try:
        with tifffile.TiffFile(bounds.regular(path)) as file:
            page = file.pages.first
            check_tiff(path, file)
            return Header(
                (int(page.imagewidth), int(page.imagelength)),
                page.dtype is not None and page.dtype.kind == "f",
            )
    except Exception as error:  # a damaged file can fail in any way
        raise unreadable(path, error) from error


def check_tiff(path: Path, file: Any) -> None:
    """Raise ValueError where an opened TIFF file promises more than it may hold."""
    height, width = (int(math.prod(side)) for side in _sides(file.series[0].shape))
    bounds.picture(width, height, path.stat().st_size)


def _sides(shape: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """A series' shape as rows and columns; up to four channels count as one pixel."""
    sides = tuple(shape[:-1]) if len(shape) > 2 and shape[-1] <= CHANNELS else tuple(shape)
    return sides[:1], sides[1:]


def header_size(path: Path) -> Size:
    """Width and height from a picture's header. Raises DataError naming the file."""
    return header(path).size


def read_headers(paths: Sequence[Path]) -> list[Header | None]:
    """The headers of many pictures; None where it is missing or damaged, as decoding it will say."""

    def one(path: Path) -> Header | None:
        try:
            return header(path)
        except DataError:
            return None

    if len(paths) <= READERS:  # read before as many threads have started
        return [one(path) for path in paths]
    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(one, paths))

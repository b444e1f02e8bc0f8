"""Are the files of a data set there, readable and whole? Their headers and ends tell, without decoding."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from surfhead.core.errors import DataError
from surfhead.core.scene import Scene
from surfhead.files import arrays, bounds

ENDS = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9"}  # what a whole file ends with, but for trailing bytes
TAIL = 1 << 16  # bytes at the end that are searched for it
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
LARGEST = 178_956_970  # pixels; Pillow refuses to decode more, lest a small file fills the memory
THREADS = 16  # that wait for the disk


def damage(path: Path) -> str:
    """What is wrong with a file, such as ``is missing``; empty where nothing is.

    Pictures must have a readable header and, as PNG and JPEG, an end; arrays (``.npy``) all their numbers.
    Other kinds of files only have to be there and not empty.
    """
    try:
        if bounds.regular(path).stat().st_size == 0:
            return "is empty"
        if path.suffix.lower() == ".npy":
            arrays.mapped(path)
        elif path.suffix.lower() in PICTURES:
            return _cut(path)
    except FileNotFoundError:
        return "is missing"
    except Exception as error:  # a damaged header can fail in any way
        if isinstance(error, Image.DecompressionBombError):
            return f"has more than {LARGEST // 1_000_000} megapixels: scale it down"
        return f"cannot be read ({getattr(error, 'strerror', None) or type(error).__name__})"
    return ""


def _cut(path: Path) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(path) as image:
            end = ENDS.get(image.format or "")
            if end is None:
                bounds.picture(*image.size, path.stat().st_size)
                image.load()
                return ""
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(file.tell() - TAIL, 0))
        return "" if end in file.read() else "is cut short"


def damaged_files(scene: Scene, views: Sequence[int] | np.ndarray) -> dict[int, tuple[Path, str]]:
    """View -> its first damaged file and what is wrong with it; views whose files are whole are not in it."""

    def first(view: int) -> tuple[Path, str] | None:
        for file in scene.files(view):
            what = damage(file)
            if what:
                return file, what
        return None

    numbers = [int(view) for view in views]
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(first, numbers))
    return {view: wrong for view, wrong in zip(numbers, found, strict=True) if wrong is not None}


def check_held_out(scene: Scene) -> None:
    """Look at the files that a run opens only when it is measured, hours after it began.

    Raises:
        DataError: some are missing or damaged; names the first.
    """
    views = np.concatenate([scene.views.of("val"), scene.views.of("test")])
    found = damaged_files(scene, views)
    if found:
        view, (file, what) = next(iter(found.items()))
        raise DataError(
            f'{len(found)} of {len(views)} held-out views cannot be measured: "{file}" of view '
            f'"{scene.views.names[view]}" {what}.',
            "Expected every file of the splits val and test before training.",
            "Restore the files, or remove these frames from the description; see `surfhead data check`.",
        )

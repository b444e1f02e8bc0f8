"""Normal pictures that a predictor made of a data set's pictures, beside them in a folder ``normals/``.

``images/a/0001.jpg`` has its normals in ``normals/a/0001.png``: the same path with the last folder named
``images`` replaced; where there is none, ``normals/0001.png`` beside the picture's folder. A picture may
have none. Files are 8-bit RGB, (n + 1) / 2 of unit normals in camera space with x to the right, y up and z
towards the camera, as monocular predictors draw them, black where there is none; or ``.npy`` of (H, W, 3)
numbers with the same axes, 0 where there is none. They have the picture's size, or any other of its shape.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from surfhead.core.api import DataError, cause
from surfhead.files import arrays, bounds

FOLDER = "normals"
ENDINGS = (".png", ".npy")
LARGEST = 16_384  # pixels a side: beyond it a file is taken for damaged
SLACK = 0.02  # of the sides' ratio: a predictor rounds sizes
_unreadable = partial(
    DataError.of,
    "Normals",
    expected="an RGB picture of (n + 1) / 2, or .npy of (H, W, 3) finite numbers",
    remedy="Make this file again, or remove it.",
)


def beside(image: Path) -> Path | None:
    """The file with the normals of a picture, or None."""
    parts = image.parts
    places = []
    if "images" in parts[:-1]:
        last = len(parts) - 1 - parts[::-1].index("images", 1)
        places.append(Path(*parts[:last], FOLDER, *parts[last + 1 :]))
    places.append(image.parent.parent / FOLDER / image.name)
    for place in places:
        for ending in ENDINGS:
            file = place.with_suffix(ending)
            if file.is_file():
                return file
    return None


def read(path: Path, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8: 128 + 127 n of unit normals in camera space (OpenCV axes), 0 where there is none.

    Args:
        path: a file of this layout.
        size: width and height wanted, pixels.

    Raises:
        DataError: the file is damaged, of another kind, or of another shape.
    """
    normals = _of_array(path) if path.suffix == ".npy" else _of_picture(path)
    height, width = normals.shape[:2]
    if abs(width / height * size[1] / size[0] - 1.0) > SLACK:
        raise DataError(
            f'Normals "{path}" are {width}x{height} pixels.',
            f"Expected the shape of the picture, {size[0]}x{size[1]}.",
            "Make them of this picture, or remove the file.",
        )
    rows = ((np.arange(size[1]) + 0.5) * height / size[1]).astype(int)
    columns = ((np.arange(size[0]) + 0.5) * width / size[0]).astype(int)
    picked = normals[rows[:, None], columns[None]].astype(np.float64) * (1.0, -1.0, -1.0)
    length = np.linalg.norm(picked, axis=-1, keepdims=True)
    there = length > 0.5  # nothing, or a blend over an edge
    unit = picked / np.where(there, length, 1.0)
    return np.where(there, np.rint(128 + 127 * unit), 0).astype(np.uint8)


def _of_picture(path: Path) -> np.ndarray:
    try:
        with Image.open(bounds.regular(path)) as image:
            bounds.picture(*image.size, path.stat().st_size)
            if image.mode not in ("RGB", "RGBA"):
                raise ValueError(f"its mode is {image.mode}")
            pixels = np.asarray(image.convert("RGB"))
    except Exception as error:  # a damaged file can fail in any way
        raise _unreadable(path, f"cannot be read: {cause(error)}") from error
    normals = pixels.astype(np.float32) / 127.5 - 1.0
    normals[(pixels == 0).all(axis=-1)] = 0.0
    return normals


def _of_array(path: Path) -> np.ndarray:
    try:
        values = arrays.mapped(path)
        if values.ndim != 3 or values.shape[2] != 3 or values.dtype.kind not in "fiu" or 0 in values.shape:
            raise ValueError(f"it is {values.dtype} of shape {values.shape}")
        if max(values.shape) > LARGEST:
            raise ValueError(f"its shape is {values.shape}")
        found = np.asarray(values, dtype=np.float32)
        if not np.isfinite(found).all():
            raise ValueError("it holds NaN or infinity")
    except Exception as error:  # a damaged file can fail in any way
        raise _unreadable(path, f"cannot be read: {cause(error)}") from error
    return found

"""The head's outline from the fitted mesh: where there is no mask, it says what belongs to the head."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_closing, binary_fill_holes, gaussian_filter

GRID = 192  # cells along the longer side in which the outline is found


def outline_points(triangles: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """(M, 3) vertex indices whose mean is a point of the surface: corners, edges' and triangles' middles.

    Args:
        triangles: (F, 3).
        skin: (F,) which triangles count.
    """
    a, b, c = triangles[skin].T
    rows = [(a, a, a), (b, b, b), (c, c, c), (a, a, b), (b, b, c), (c, c, a), (a, b, c)]
    return np.unique(np.concatenate([np.sort(np.stack(row, axis=1), axis=1) for row in rows]), axis=0)


def outline_mask(pixels: np.ndarray, height: int, width: int, soft: float = 0.006) -> np.ndarray:
    """(H, W) uint8, 255 inside the outline of projected surface points.

    Args:
        pixels: (M, 2) points of the surface, dense enough for cells a 192nd of the picture's longer side.
        height, width: of the picture.
        soft: standard deviation of the edge, fraction of the longer side.
    """
    from PIL import Image

    scale = GRID / max(height, width)
    rows, columns = max(round(height * scale), 1), max(round(width * scale), 1)
    pad = 4  # cells round the picture, so that closing and filling work at its edge
    place = np.floor(pixels * [columns / width, rows / height]).astype(np.int64) + pad
    size = (rows + 2 * pad, columns + 2 * pad)
    inside = ((place >= 0) & (place < [size[1], size[0]])).all(axis=1)
    cells = np.zeros(size, bool)
    cells[place[inside, 1], place[inside, 0]] = True
    filled = binary_fill_holes(binary_closing(cells, np.ones((3, 3), bool)))
    smooth = gaussian_filter(filled.astype(np.float32), soft * GRID)[pad:-pad, pad:-pad]
    grey = Image.fromarray((smooth * 255).astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    # twice as steep about one half: the edge stays where it is, inside is all inside
    return np.asarray(((np.asarray(grey, np.float32) - 63.75) * 2).clip(0, 255).astype(np.uint8))

"""A mask's edge put where the picture's own edge is: the guided filter (He, Sun and Tang 2010).

In a window about every pixel the mask is taken to be a linear function of the picture's colours, found by
least squares. Windows are looked at in a small picture and their functions laid over the large one (He and
Sun 2015).
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy.ndimage import uniform_filter

REGULAR = 5e-4  # added to the colours' variances, of 1: contrasts below its square root count as noise
STEEP = 3.0  # about one half, as windows of several colours soften what is whole


def guided(small: np.ndarray, rough: np.ndarray, large: np.ndarray, side: int) -> np.ndarray:
    """(H, W) float32 in [0, 1], the mask at the large picture's edges.

    Args:
        small: (h, w, 3) uint8 picture.
        rough: (h, w) float32 mask of it, in [0, 1].
        large: (H, W, 3) uint8 the same picture.
        side: of the windows, pixels of the small picture.
    """
    colours = small.astype(np.float32) / 255
    first, second = np.triu_indices(3)
    products = colours[..., first] * colours[..., second]
    stack = np.concatenate([colours, rough[..., None], products, colours * rough[..., None]], axis=2)
    mean = uniform_filter(stack, (side, side, 0), mode="nearest")
    middle, share = mean[..., :3], mean[..., 3]
    spread = np.empty((*rough.shape, 3, 3), np.float32)
    spread[..., first, second] = mean[..., 4:10] - middle[..., first] * middle[..., second]
    spread[..., second, first] = spread[..., first, second]
    spread += REGULAR * np.eye(3, dtype=np.float32)
    along = mean[..., 10:] - middle * share[..., None]
    slope = np.linalg.solve(spread, along[..., None])[..., 0]
    level = share - (slope * middle).sum(axis=2)
    smooth = uniform_filter(
        np.concatenate([slope, level[..., None]], axis=2), (side, side, 0), mode="nearest"
    )
    size = (large.shape[1], large.shape[0])
    wide = [
        np.asarray(Image.fromarray(smooth[..., i]).resize(size, Image.Resampling.BILINEAR)) for i in range(4)
    ]
    mask = wide[3] + sum(large[..., i].astype(np.float32) / 255 * wide[i] for i in range(3))
    return np.asarray(((mask - 0.5) * STEEP + 0.5).clip(0, 1), np.float32)

"""A frame's contrast: brightness against what is round it, so that light matters little."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates

EYES = 96.0  # pixels between the eyes' outer corners in the pictures that are looked at
ROOM = 0.5  # round the landmarks, fraction of their extent
FINE, COARSE = 0.8, 4.0  # standard deviations between which details count, pixels of these pictures
DARK = 0.08  # added to the brightness that contrast is relative to, of 1


@dataclass(frozen=True)
class Contrast:
    """The contrast of a frame round the head.

    Attributes:
        values: (h, w) float16.
        corner: x and y of its upper left corner, pixels of the clip.
        scale: its pixels by the clip's.
    """

    values: np.ndarray
    corner: np.ndarray
    scale: float

    def at(self, pixels: np.ndarray) -> np.ndarray:
        """(...) float32 at pixels (..., 2) of the clip; NaN outside."""
        place = np.moveaxis((pixels[..., ::-1] - self.corner[::-1]) * self.scale - 0.5, -1, 0)
        values = self.values.astype(np.float32)
        return np.asarray(map_coordinates(values, place, order=1, cval=np.nan))


def contrast_of(picture: np.ndarray, landmarks: np.ndarray, scale: float) -> Contrast:
    """The contrast round a head.

    Args:
        picture: (H, W, 3) uint8.
        landmarks: (M, 2) pixels.
        scale: pixels of the contrast by pixels of the picture.
    """
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    room = ROOM * (high - low).max() + COARSE / scale
    size = np.array(picture.shape[1::-1])
    low = np.floor((low - room).clip(0, size - 2)).astype(int)
    high = np.ceil((high + room).clip(low + 2, size)).astype(int)
    image = Image.fromarray(picture[low[1] : high[1], low[0] : high[0]]).convert("L")
    small = tuple(np.maximum(np.round((high - low) * scale), 2).astype(int).tolist())
    grey = np.asarray(image.resize(small, Image.Resampling.BOX), np.float32) / 255
    around = gaussian_filter(grey, COARSE)
    values = (gaussian_filter(grey, FINE) - around) / (around + DARK)
    return Contrast(values.astype(np.float16), low.astype(float), scale)

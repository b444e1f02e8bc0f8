"""Foreground masks: the head's outline, spread to hair by colour, or masks the user has made.

By colour: what lies deep inside the outline shows the head's colours, what lies far outside the background's
(two histograms, averaged over the frames before). Between them, above the chin, a cell of the picture belongs
to the head where its colour and its place together speak for it; what hangs together with the inside is kept.
Its place counts inside the outline by how far off the fitted head's edge may be, outside by how far hair
reaches. Its colour counts by how well colour tells those cells nearby apart whose side is sure, so that a
wall like skin takes nothing from the head. Below the chin nothing outside the outline counts, as clothes are
no part of the head. The cells' edge is then put where the picture's is.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy.ndimage import (
    binary_fill_holes,
    binary_opening,
    distance_transform_edt,
    gaussian_filter,
    label,
)
from scipy.special import expit, log_ndtr

from surfhead.core.api import DataError
from surfhead_video.clip import read_picture, turned
from surfhead_video.matting import guided

if TYPE_CHECKING:
    from surfhead_video.tracking import Tracked

CELLS = 200  # along the longer side of the picture, in which colours are compared
BINS = 12  # a colour channel
WINDOW = 7  # cells along the side of those in which the edge is looked for
KEPT = 0.9  # share of the frames before in the histograms
DEEP, FAR, REACH = 0.05, 0.14, 0.035  # distances as fractions of the outline's height
FIT, RIM = 0.01, 0.02  # such fractions by which the fitted head's edge may be off, above the chin and below
NEARBY = 0.06  # standard deviation of the window in which colours are tried, such a fraction
FEW = 1e-3  # share of that window whose cells tell as much as all in the picture


def given_mask(folder: Path, number: int, tracked: Tracked, turn: int = 0) -> np.ndarray:
    """(H, W) uint8 of the kept picture, from a mask file of the whole one, before its turn. DataError."""
    found = [file for digits in (6, 5, 4, 3, 1) for file in folder.glob(f"{number:0{digits}d}.*")]
    if not found:
        raise DataError(
            f'There is no mask of frame {number} in "{folder}".',
            "Expected a PNG for each frame, named by its number from 0, such as 000012.png.",
            "Make the masks again, or leave out the option mask.",
        )
    try:
        grey = Image.fromarray(turned(np.asarray(read_picture(found[0], "L")), turn))
    except Exception as error:  # Pillow raises many kinds for damaged files
        raise DataError(
            f'Mask "{found[0]}" cannot be read: {error}.', "Expected a PNG.", "Make it again."
        ) from error
    if grey.size != tracked.whole:
        (width, height), whole = (size[:: -1 if turn % 180 else 1] for size in (grey.size, tracked.whole))
        raise DataError(
            f'Mask "{found[0]}" is {width}x{height} pixels.',
            f"Expected {whole[0]}x{whole[1]}, as the clip.",
            "Make the masks in the clip's size.",
        )
    return np.asarray(grey.resize(tracked.size, Image.Resampling.BILINEAR, tracked.box, reducing_gap=3.0))


class MaskMaker:
    """Spreads outlines by colour, frame by frame in order."""

    def __init__(self) -> None:
        self._inside = np.zeros(BINS**3)
        self._outside = np.zeros(BINS**3)

    def __call__(self, picture: np.ndarray, outline: np.ndarray) -> np.ndarray:
        """(H, W) uint8 mask.

        Args:
            picture: (H, W, 3) uint8.
            outline: (H, W) uint8, the head's outline.
        """
        height, width = outline.shape
        scale = CELLS / max(height, width)
        size = (max(round(width * scale), 1), max(round(height * scale), 1))
        cells = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))
        inside = np.asarray(Image.fromarray(outline).resize(size, Image.Resampling.BOX)) >= 128
        if not inside.any() or inside.all():
            return outline
        rows = np.flatnonzero(inside.any(axis=1))
        tall = float(rows[-1] - rows[0] + 1)
        outward = distance_transform_edt(~inside) - distance_transform_edt(inside)  # negative inside
        outward -= 0.5 * np.sign(outward)  # from the edge, not from the next cell's middle
        bins = (cells.astype(np.int64) * BINS) // 256
        index = (bins[..., 0] * BINS + bins[..., 1]) * BINS + bins[..., 2]
        deep, far = outward < -DEEP * tall, outward > FAR * tall
        self._learn(index, deep, far)
        odds = np.log(self._inside[index]) - np.log(self._outside[index])
        odds = gaussian_filter(odds.clip(-4, 4), 1.0)
        chin = rows[0] + 0.62 * tall
        above = np.arange(size[1])[:, None] < chin
        place = by_place(outward / tall, np.where(above, FIT, RIM))
        odds = odds * told_apart(odds, deep, far, NEARBY * tall) + place
        head = ((odds > 0) | deep) & ~far & (above | inside)
        head = binary_opening(head, iterations=1) | deep
        parts, count = label(head)
        if count > 1:
            head = np.isin(parts, np.unique(parts[deep])[np.unique(parts[deep]) > 0])
        head = binary_fill_holes(head)
        soft = gaussian_filter(head.astype(np.float32), 0.9)
        return np.asarray((guided(cells, soft, picture, WINDOW) * 255).astype(np.uint8))

    def _learn(self, index: np.ndarray, deep: np.ndarray, far: np.ndarray) -> None:
        for kept, where in ((self._inside, deep), (self._outside, far)):
            counts = np.bincount(index[where], minlength=BINS**3).reshape(BINS, BINS, BINS).astype(float)
            counts = gaussian_filter(counts, 0.7).ravel()
            share = counts / max(counts.sum(), 1.0) + 1e-5
            kept *= KEPT if kept.any() else 0.0
            kept += (1 - KEPT) * share


def by_place(outward: np.ndarray, off: np.ndarray) -> np.ndarray:
    """(H, W) log odds that a cell is the head's, by its place alone.

    Args:
        outward: (H, W) distance from the outline, negative inside, fractions of its height.
        off: (H, 1) standard deviation of the outline's own error, the same fractions.
    """
    within = np.minimum(outward, 0) / off  # a cell inside is the head's unless the outline is off by more
    return np.asarray(log_ndtr(-within) - log_ndtr(within) - np.maximum(outward, 0) / REACH)


def told_apart(odds: np.ndarray, deep: np.ndarray, far: np.ndarray, wide: float) -> np.ndarray:
    """(H, W) in [0, 1], how well colours tell head and background apart: 0 by chance, 1 without error.

    The share that colour gives to the head, in the mean of the head's sure cells nearby, less that in the
    mean of the background's (Youden's index). 0 where one side is not in the picture.

    Args:
        odds: (H, W) log odds by colour.
        deep, far: (H, W) bool, sure cells of the head and of the background.
        wide: standard deviation of the window, cells.
    """
    if not (deep.any() and far.any()):
        return np.zeros(odds.shape)
    head = expit(odds)
    shares = []
    for sure in (deep, far):
        count = gaussian_filter(sure.astype(float), wide)
        there = gaussian_filter(np.where(sure, head, 0.0), wide)
        shares.append((there + FEW * head[sure].mean()) / (count + FEW))
    return np.asarray((shares[0] - shares[1]).clip(0, 1))

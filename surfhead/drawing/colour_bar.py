"""A bar that says what the colours of a picture mean, drawn into its lower left corner."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from surfhead.drawing.pictures import to_bytes
from surfhead.drawing.scalars import Legend

SMALLEST = 72  # pixels of the shorter side, below which no bar can be read
INK, PAPER = (245, 245, 245), (20, 20, 24)
COVER = 0.72  # of the paper over the picture


def with_bar(pixels: np.ndarray, legend: Legend) -> np.ndarray:
    """The picture (H, W, 3) uint8 with a bar: the channel's name above it, the range below.

    Pictures too small for one are given back as they are.
    """
    height, width = pixels.shape[:2]
    shorter = min(height, width)
    if shorter < SMALLEST:
        return pixels
    size = min(max(shorter // 45, 9), 26)  # of the letters, pixels
    font = ImageFont.load_default(size)
    gap = max(size // 2, 3)
    long = min(14 * size, width - 4 * gap)
    box = (gap, height - gap - 2 * size - 4 * gap - size, gap + long + 2 * gap, height - gap)
    made = Image.fromarray(pixels).convert("RGB")
    paper = Image.new("RGB", (box[2] - box[0], box[3] - box[1]), PAPER)
    under = made.crop(box)
    made.paste(Image.blend(under, paper, COVER), box[:2])
    pen = ImageDraw.Draw(made)
    left, top = box[0] + gap, box[1] + gap
    name = legend.channel + (f" ({legend.unit})" if legend.unit else "")
    pen.text((left, top), name, INK, font, anchor="lt")
    strip = to_bytes(legend.strip(long))
    made.paste(Image.fromarray(np.repeat(strip[None], size, axis=0)), (left, top + size + gap))
    below = top + 2 * size + 3 * gap // 2
    middle = (legend.low * legend.high) ** 0.5 if legend.log else (legend.low + legend.high) / 2
    for value, at, anchor in (
        (legend.low, left, "lt"),
        (middle, left + long // 2, "mt"),
        (legend.high, left + long, "rt"),
    ):
        pen.text((at, below), f"{value:.3g}", INK, font, anchor=anchor)
    return np.asarray(made)

"""Pictures with the rig's silhouette tinted and the mask outlined, alone and on one sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from surfhead.files.writing import beside

TINT = np.array([255.0, 60.0, 0.0])  # colour of the rig's silhouette
OUTLINE = np.array([0, 200, 60], dtype=np.uint8)  # colour of the mask's outline
THIN = 400  # pixels of a picture's side for each pixel of the outline's width
CELL = 240  # pixels, height of a picture on the sheet
STRIP = 16  # pixels, height of a caption
GAP = 6  # pixels between the sheet's cells
WIDEST = 1800  # pixels, width of the sheet
PAPER, INK = (255, 255, 255), (20, 20, 20)


def overlay(image: np.ndarray, silhouette: np.ndarray | None, mask: np.ndarray | None) -> np.ndarray:
    """(H, W, 3) uint8: a picture, the silhouette (H, W) bool tinted, the mask (H, W) bool outlined."""
    made = image.copy()
    if silhouette is not None:
        mixed = (0.5 * image + 0.5 * TINT).round().astype(np.uint8)
        made = np.where(silhouette[..., None], mixed, image)
    if mask is not None:
        made[outline(mask, max(1, round(max(mask.shape) / THIN)))] = OUTLINE
    return made


def outline(mask: np.ndarray, width: int = 1) -> np.ndarray:
    """(H, W) bool: the pixels of a mask within ``width`` of one outside it; the picture's rim is none."""
    inner: np.ndarray = mask
    for _ in range(width):
        padded = np.pad(inner, 1, constant_values=True)
        inner = inner & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    edge: np.ndarray = mask & ~inner
    return edge


def caption(name: str, iou: float | None) -> str:
    """A view's name and the overlap of rig and mask."""
    return name if iou is None else f"{iou:.2f}  {name}"


def captioned(pixels: np.ndarray, text: str, height: int | None = None) -> Image.Image:
    """A picture, scaled down to ``height`` if given, over a strip with a line of text."""
    image = Image.fromarray(pixels)
    if height is not None and image.height > height:
        width = max(round(image.width * height / image.height), 1)
        image = image.resize((width, height), Image.Resampling.BOX)
    font = ImageFont.load_default()
    needed = int(font.getlength(text)) + 4
    made = Image.new("RGB", (max(image.width, needed), image.height + STRIP), PAPER)
    made.paste(image, (0, 0))
    ImageDraw.Draw(made).text((2, image.height + 2), text, INK, font)
    return made


def sheet(cells: Sequence[Image.Image]) -> np.ndarray:
    """(H, W, 3) uint8: captioned pictures in rows, in the order given; one white pixel when there is none."""
    if not cells:
        return np.full((1, 1, 3), 255, dtype=np.uint8)
    width, height = (max(getattr(cell, side) for cell in cells) + GAP for side in ("width", "height"))
    columns = min(max(WIDEST // width, 1), len(cells))
    rows = -(-len(cells) // columns)
    made = Image.new("RGB", (GAP + columns * width, GAP + rows * height), PAPER)
    for number, cell in enumerate(cells):
        made.paste(cell, (GAP + number % columns * width, GAP + number // columns * height))
    return np.asarray(made)


def save(pixels: np.ndarray, path: Path) -> None:
    """Write (H, W, 3) uint8 as a PNG file; folders are made."""
    with beside(path) as temporary:
        Image.fromarray(pixels).save(temporary)

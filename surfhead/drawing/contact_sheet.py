"""Contact sheets: a few moments of several videos, a row a video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

HEIGHT = 256  # pixels of a cell, at most
LABEL = 18  # pixels, height of a line of text
GAP = 4  # pixels between cells
PAPER, INK = (255, 255, 255), (20, 20, 20)


def contact_sheet(columns: Sequence[str], rows: Mapping[str, Sequence[np.ndarray]]) -> np.ndarray:
    """(H, W, 3) uint8: a row for every video, a column for every moment.

    Args:
        columns: the moments' labels, one or more.
        rows: label -> pictures (h, w, 3) uint8 of one size a row, as many as there are columns. All rows get
            the highest one's height.
    """
    height = min(HEIGHT, max(cells[0].shape[0] for cells in rows.values()))
    widths = {
        name: max(round(height * cells[0].shape[1] / cells[0].shape[0]), 1) for name, cells in rows.items()
    }
    step_x, step_y = max(widths.values()) + GAP, height + LABEL + GAP
    sheet = Image.new("RGB", (GAP + len(columns) * step_x, LABEL + GAP + len(rows) * step_y), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    for column, label in enumerate(columns):
        pen.text((GAP + column * step_x, GAP), label, INK, font)
    for row, (name, cells) in enumerate(rows.items()):
        top = LABEL + GAP + row * step_y
        pen.text((GAP, top), name, INK, font)
        for column, cell in enumerate(cells):
            scaled = Image.fromarray(cell).resize((widths[name], height), Image.Resampling.LANCZOS)
            sheet.paste(scaled, (GAP + column * step_x, top + LABEL))
    return np.asarray(sheet)

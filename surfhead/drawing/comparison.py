"""Contact sheets that show truth, drawing, error, normals and depth of some views side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from surfhead.core.scene import Frame
from surfhead.drawing import pictures
from surfhead.drawing.channels import SOLID
from surfhead.drawing.colour_maps import heat, normal_colours
from surfhead.drawing.scalars import FULL_ERROR

LARGEST_CELL = 384  # pixels, the longer side of a picture in the sheet
LABEL = 18  # pixels, height of a line of text
GAP = 4  # pixels between cells
PAPER, INK = (255, 255, 255), (20, 20, 20)


class ComparisonSheet:
    """A row a view: truth | drawing | error | normals | true normals | depth.

    Columns without data in any row (true normals of photographs) are left out.

    Args:
        title: heads the drawings' column.
    """

    def __init__(self, title: str = "render") -> None:
        self.columns = (
            "truth",
            title,
            f"error, white = {FULL_ERROR:g}",
            "normals",
            "true normals",
            "depth, near = white",
        )
        self.rows: list[tuple[str, list[np.ndarray | None]]] = []

    def add(self, name: str, frame: Frame, rgb: Tensor, alpha: Tensor, normal: Tensor, depth: Tensor) -> None:
        """Add a view.

        Args:
            name: the row's label.
            frame: the truth.
            rgb: (H, W, 3) in [0, 1].
            alpha: (H, W).
            normal: (H, W, 3) camera-space normals of any length.
            depth: (H, W) camera z, metres.
        """
        rgb, alpha, normal, depth = (value.detach().float().cpu() for value in (rgb, alpha, normal, depth))
        truth = torch.from_numpy(np.ascontiguousarray(frame.image)).float() / 255.0
        error = (rgb.clamp(0.0, 1.0) - truth).abs().mean(dim=-1)
        true_normals = None
        if frame.normal is not None:
            true_normals = _normals(torch.from_numpy(np.ascontiguousarray(frame.normal)).float(), None)
        cells = [
            np.ascontiguousarray(frame.image),
            pictures.to_bytes(rgb),
            pictures.to_bytes(heat(error / FULL_ERROR)),
            _normals(normal, alpha),
            true_normals,
            _depth(depth, alpha),
        ]
        self.rows.append((name, cells))

    def picture(self) -> np.ndarray:
        """(H, W, 3) uint8, the sheet; one white pixel when it has no rows."""
        if not self.rows:
            return np.full((1, 1, 3), 255, dtype=np.uint8)
        used = [i for i in range(len(self.columns)) if any(cells[i] is not None for _, cells in self.rows)]
        width, height = _cell_size(self.rows[0][1])
        step_x, step_y = width + GAP, height + LABEL + GAP
        sheet = Image.new("RGB", (GAP + len(used) * step_x, LABEL + GAP + len(self.rows) * step_y), PAPER)
        pen = ImageDraw.Draw(sheet)
        font = ImageFont.load_default()
        for column, index in enumerate(used):
            pen.text((GAP + column * step_x, GAP), self.columns[index], INK, font)
        for row, (name, cells) in enumerate(self.rows):
            top = LABEL + GAP + row * step_y
            pen.text((GAP, top), name, INK, font)
            for column, index in enumerate(used):
                cell = cells[index]
                if cell is not None:
                    scaled = _within(Image.fromarray(cell), width, height)
                    sheet.paste(scaled, (GAP + column * step_x, top + LABEL))
        return np.asarray(sheet)

    def save(self, path: Path) -> None:
        """Write the sheet as a PNG file; folders are made."""
        pictures.save(self.picture(), path)


def _within(image: Image.Image, width: int, height: int) -> Image.Image:
    """A picture scaled to a cell, or into it where it has another shape."""
    factor = min(width / image.width, height / image.height)
    size = (max(round(image.width * factor), 1), max(round(image.height * factor), 1))
    close = abs(size[0] - width) <= 1 and abs(size[1] - height) <= 1  # but for rounding
    return image.resize((width, height) if close else size, Image.Resampling.LANCZOS)


def _normals(normal: Tensor, alpha: Tensor | None) -> np.ndarray:
    """Normals as colours, on white where there is none."""
    there = (normal.square().sum(dim=-1, keepdim=True) > 0).float()
    weight = there if alpha is None else there * alpha[..., None]
    return pictures.to_bytes(normal_colours(normal) * weight + (1.0 - weight))


def _depth(depth: Tensor, alpha: Tensor) -> np.ndarray:
    """Depth as grey, white the nearest and dark grey the farthest, on white where there is none."""
    solid = alpha > SOLID
    drawn = depth[solid]
    if len(drawn) == 0:
        return np.full((*depth.shape, 3), 255, dtype=np.uint8)
    near, far = drawn.min(), drawn.max()
    grey = (1.0 - 0.9 * (depth - near) / (far - near).clamp_min(1e-9)).clamp(0.0, 1.0)
    weight = alpha.clamp(0.0, 1.0)
    return pictures.to_bytes((grey * weight + 1.0 - weight)[..., None].expand(-1, -1, 3))


def _cell_size(cells: list[np.ndarray | None]) -> tuple[int, int]:
    """(width, height) of the cells: the pictures' own, at most ``LARGEST_CELL``, at least readable."""
    height, width = next(cell.shape[:2] for cell in cells if cell is not None)
    factor = min(1.0, LARGEST_CELL / max(height, width))
    return max(round(width * factor), 1), max(round(height * factor), 1)

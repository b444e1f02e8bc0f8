"""What figures are called where people read them: a short name, its unit, which way is better, its digits."""

from __future__ import annotations

import math
from typing import NamedTuple

UP, DOWN = "↑", "↓"


class FigureName(NamedTuple):
    """How a figure is shown.

    Attributes:
        short: its name.
        unit: empty where it has none.
        higher: whether higher is better.
        digits: after the point.
    """

    short: str
    unit: str = ""
    higher: bool = False
    digits: int = 2

    @property
    def arrow(self) -> str:
        """Points the way that is better."""
        return UP if self.higher else DOWN

    @property
    def heading(self) -> str:
        """Name, arrow and unit on one line: ``PSNR ↑ dB``."""
        return f"{self.short} {self.arrow} {self.unit}".rstrip()

    @property
    def stacked(self) -> str:
        """Name and arrow, and the unit below them."""
        return f"{self.short} {self.arrow}\n{self.unit}".rstrip()

    def text(self, value: float | None) -> str:
        """A value in its digits, without the unit; nothing where there is none."""
        if value is None or math.isnan(value):
            return ""
        return f"{value:.{self.digits}f}"

    def with_unit(self, value: float) -> str:
        """A value and its unit: ``31.15 dB``, ``8.47°``."""
        between = "" if self.unit in ("", "°") else " "
        return f"{self.text(value)}{between}{self.unit}"

    def better(self, one: float, other: float) -> bool:
        """Whether the first value is better than the second."""
        return one > other if self.higher else one < other


FIGURES: dict[str, FigureName] = {
    "psnr": FigureName("PSNR", "dB", True),
    "l1": FigureName("L1", digits=4),
    "ssim": FigureName("SSIM", "", True, 4),
    "lpips": FigureName("LPIPS", digits=4),
    "foreground_psnr": FigureName("head PSNR", "dB", True),
    "foreground_ssim": FigureName("head SSIM", "", True, 4),
    "foreground_lpips": FigureName("head LPIPS", digits=4),
    "ncs": FigureName("normal cos", "", True, 4),
    "angular_error": FigureName("normals", "°"),
    "depth_error_mm": FigureName("depth", "mm"),
    "accuracy_mm": FigureName("accuracy", "mm", digits=3),
    "completeness_mm": FigureName("complete", "mm", digits=3),
    "chamfer_mm": FigureName("Chamfer", "mm", digits=3),
    "normal_error_deg": FigureName("normals", "°"),
}
"""Those of views, and those of surfaces."""


def figure_name(key: str) -> FigureName:
    """How a figure is shown; one that is not known by its key, in words."""
    if key in FIGURES:
        return FIGURES[key]
    if key.startswith("f_score_"):
        return FigureName(f"F {key.removeprefix('f_score_').removesuffix('mm')} mm", "", True, 3)
    return FigureName(key.replace("_", " "), digits=4)


def conventions_text(conventions: dict[str, str]) -> list[str]:
    """How each figure is computed, a line each, by the names that tables show."""
    return [f"{figure_name(key).short}: {text}" for key, text in conventions.items()]

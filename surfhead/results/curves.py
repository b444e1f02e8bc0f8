"""Curves of a run over its training images, as SVG that needs nothing else to be shown."""

from __future__ import annotations

import contextlib
import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from surfhead.files.bounds import read_records

WIDTH, HEIGHT = 640, 280  # of the whole drawing, in its own units
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 12, 34  # margins
COLOURS = ("#3b76af", "#ef8536", "#519e3e", "#c53a32", "#8d69b8", "#84584e", "#d57dbe", "#7f7f7f", "#b5bd4c")
TICKS = 5  # about so many on an axis

Points = list[tuple[float, float]]


@dataclass
class History:
    """What a run wrote to metrics.jsonl; each curve is a list of (images, value).

    Attributes:
        losses: term -> weighted value of one step; ``total`` is their sum.
        surfels: their number.
        metrics: metric -> split -> mean over the split.
    """

    losses: dict[str, Points] = field(default_factory=dict)
    surfels: Points = field(default_factory=list)
    metrics: dict[str, dict[str, Points]] = field(default_factory=dict)


def read_history(run: Path) -> History:
    """The curves of a run; empty ones where it kept none."""
    found = History()
    path = run / "metrics.jsonl"
    if not path.is_file():
        return found
    with contextlib.suppress(OSError):
        for _, row in read_records(path):
            with contextlib.suppress(ValueError, LookupError, TypeError, AttributeError, OverflowError):
                _add(found, row)
    return found


def _add(found: History, row: Any) -> None:
    """Take a line of the record."""
    images = float(row["images"])
    if "losses" in row:
        values = {name: float(value) for name, value in row["losses"].items()}
        for name, value in {"total": sum(values.values()), **values}.items():
            found.losses.setdefault(name, []).append((images, value))
        found.surfels.append((images, float(row["surfels"])))
    elif "metrics" in row:
        for name, value in row["metrics"].items():
            if value is not None:
                curves = found.metrics.setdefault(name, {})
                curves.setdefault(row["split"], []).append((images, float(value)))


def svg(curves: Mapping[str, Points], *, logarithmic: bool = False, label: str = "") -> str:
    """One drawing of several curves with axes, a legend below, and values that show under the pointer.

    Args:
        curves: name -> points (x, y), x ascending. What is not finite is left out, and on a logarithmic
            axis what is not positive.
        logarithmic: the y axis.
        label: what screen readers call it.
    """
    shown = {
        name: [p for p in points if math.isfinite(p[1]) and (p[1] > 0 or not logarithmic)]
        for name, points in curves.items()
    }
    shown = {name: points for name, points in shown.items() if points}
    every = [point for points in shown.values() for point in points]
    if not every:
        return ""
    x_low, x_high = _range([x for x, _ in every])
    heights = [math.log10(y) if logarithmic else y for _, y in every]
    y_low, y_high = _range(heights)

    def across(x: float) -> float:
        return LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)

    def up(y: float) -> float:
        value = math.log10(y) if logarithmic else y
        return HEIGHT - BOTTOM - (value - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(label)}">']
    marks = _decades(y_low, y_high) if logarithmic else _ticks(y_low, y_high)
    for value in marks:
        y = up(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_number(value)}</text>')
    for value in _ticks(x_low, x_high):
        x, foot = across(value), HEIGHT - BOTTOM
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{foot}" y2="{foot + 4}"/>')
        parts.append(f'<text x="{x:.1f}" y="{foot + 16}" text-anchor="middle">{_number(value)}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">images</text>')
    for number, (name, points) in enumerate(shown.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in points)
        title = html.escape(f"{name}: {_number(points[-1][1])} at {_number(points[-1][0])}")
        line = f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6">'
        parts.append(f"{line}<title>{title}</title></polyline>")
        if len(points) <= 40:
            for x, y in points:
                told = html.escape(f"{name}: {_number(y)} at {_number(x)}")
                dot = f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="2.6" fill="{colour}">'
                parts.append(f"{dot}<title>{told}</title></circle>")
    parts.append("</svg>")
    legend = "".join(
        f'<span><i style="background:{COLOURS[number % len(COLOURS)]}"></i>{html.escape(name)}</span>'
        for number, name in enumerate(shown)
    )
    return "".join(parts) + (f'<p class="legend">{legend}</p>' if len(shown) > 1 else "")


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers within a range, a step of 1, 2 or 5 times a power of ten apart."""
    rough = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = min((f * power for f in (1, 2, 5, 10)), key=lambda s: abs(math.log(s / rough)))
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _decades(low: float, high: float) -> list[float]:
    """Powers of ten within a range of exponents; round numbers where there are fewer than two."""
    whole = list(range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1))
    if len(whole) < 2:
        return _ticks(10.0**low, 10.0**high)
    skip = -(-len(whole) // (TICKS + 2))
    return [10.0**exponent for exponent in whole[::skip]]


def _number(value: float) -> str:
    if value == 0:
        return "0"
    if abs(value) >= 1e-3 and abs(value) < 1e6:
        return f"{value:.6g}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:.3g}"

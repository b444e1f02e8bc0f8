"""Curves of a run: reading them, and their drawing, read back from the SVG."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from surfhead.results.curves import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, read_history, svg


def drawing(text: str) -> ET.Element:
    return ET.fromstring(text.partition("</svg>")[0] + "</svg>")


def line(element: ET.Element, number: int = 0) -> list[tuple[float, float]]:
    points = element.findall("polyline")[number].get("points") or ""
    return [tuple(map(float, point.split(","))) for point in points.split()]  # type: ignore[misc]


def labels(element: ET.Element, anchor: str) -> list[str]:
    return [text.text or "" for text in element.findall("text") if text.get("text-anchor") == anchor]


def test_a_history_has_losses_their_sum_surfels_and_metrics(tmp_path: Path) -> None:
    rows = [
        {"images": 0, "split": "val", "metrics": {"psnr": 20.0, "lpips": None}},
        {"images": 10, "surfels": 7, "losses": {"l1": 0.5, "mask": 0.25}},
        {"images": 20, "surfels": 8, "losses": {"l1": 0.25}},
        {"images": 20, "split": "val", "metrics": {"psnr": 22.0}},
        {"images": 20, "split": "test", "metrics": {"psnr": 21.0}},
    ]
    text = "\n".join(map(json.dumps, rows)) + '\n{"images": 3'  # cut short
    (tmp_path / "metrics.jsonl").write_text(text)
    found = read_history(tmp_path)
    assert found.losses == {
        "total": [(10, 0.75), (20, 0.25)],
        "l1": [(10, 0.5), (20, 0.25)],
        "mask": [(10, 0.25)],
    }
    assert found.surfels == [(10, 7), (20, 8)]
    assert found.metrics == {"psnr": {"val": [(0, 20), (20, 22)], "test": [(20, 21)]}}
    assert read_history(tmp_path / "elsewhere").losses == {}


def test_points_are_where_their_values_are() -> None:
    element = drawing(svg({"a": [(0, 0.0), (50, 5.0), (100, 10.0)]}))
    (x0, y0), (x1, y1), (x2, y2) = line(element)
    assert (x0, y0) == (LEFT, HEIGHT - BOTTOM)
    assert (x2, y2) == (WIDTH - RIGHT, TOP)
    assert (x1, y1) == pytest.approx(((x0 + x2) / 2, (y0 + y2) / 2), abs=0.06)
    assert labels(element, "end") == ["0", "2", "4", "6", "8", "10", "images"]
    assert labels(element, "middle") == ["0", "20", "40", "60", "80", "100"]


def test_a_logarithmic_axis_has_decades_and_leaves_out_what_it_cannot_show() -> None:
    text = svg({"a": [(0, 1.0), (1, 0.1), (2, 0.0), (3, 0.001), (4, math.nan)]}, logarithmic=True)
    heights = [y for _, y in line(drawing(text))]
    assert len(heights) == 3
    assert heights[1] - heights[0] == pytest.approx((heights[2] - heights[0]) / 3, abs=0.1)
    assert labels(drawing(text), "end") == ["0.001", "0.01", "0.1", "1", "images"]
    narrow = labels(drawing(svg({"a": [(0, 3.0), (1, 7.0)]}, logarithmic=True)), "end")
    assert narrow == ["3", "4", "5", "6", "7", "images"]


def test_several_curves_have_colours_and_a_legend_and_names_are_escaped() -> None:
    text = svg({"<b>": [(0, 1.0), (1, 2.0)], "other": [(0, 2.0), (1, 1.0)]})
    strokes = {poly.get("stroke") for poly in drawing(text).findall("polyline")}
    assert len(strokes) == 2
    assert all(f'<i style="background:{stroke}">' in text for stroke in strokes)
    assert "&lt;b&gt;</span>" in text
    assert "<b>" not in text
    assert "legend" not in svg({"alone": [(0, 1.0)]})


def test_nothing_and_a_single_point_are_drawn() -> None:
    assert svg({}) == svg({"a": []}) == svg({"a": [(0, math.nan)]}) == ""
    assert len(line(drawing(svg({"a": [(5, 3.0)]})))) == 1

"""What several runs reached, side by side: figures of held-out views, as tables."""

from __future__ import annotations

import csv
import logging
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from surfhead.core.errors import DataError
from surfhead.files.writing import beside, write_text
from surfhead.runs.measure import evaluate_run
from surfhead.runs.run import Run
from surfhead.training.monitoring import COLUMNS, TITLES, summary

log = logging.getLogger("surfhead")
HELD_OUT = ("val", "test")
FOUR_DIGITS = ("ssim", "ncs", "lpips")


@dataclass(frozen=True)
class Row:
    """One variant and split: metric -> (mean, standard deviation over its runs)."""

    variant: str
    split: str
    runs: int
    metrics: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def results(run: Path, split: str) -> dict[str, Any] | None:
    """The stored evaluation of a run's newest checkpoint on a split; None where there is none."""
    return Run(run).evaluation(split)


def measure(run: Path, device: str = "auto", data: str | None = None) -> bool:
    """Evaluate a run where results of its newest checkpoint are missing or of some views only.

    Gives whether anything had to be measured. Splits are val and test, or train where nothing is held out.

    Raises:
        DataError: it is no run, or has no checkpoint.
    """
    scene = Run(run, data).scene
    counts = {split: len(scene.views.of(split)) for split in HELD_OUT}
    if not any(counts.values()):
        counts = {"train": len(scene.views.of("train"))}
    missing = []
    for split, count in counts.items():
        known = results(run, split)
        if count and (known is None or known["views"] != count):
            missing.append(split)
    if missing:
        log.info("Evaluating %s: %s", run, ", ".join(missing))
        moved: dict[str, Any] = {} if data is None else {"moved": data}
        evaluate_run(run, splits=tuple(missing), device=device, **moved)
    return bool(missing)


def collect(variants: Mapping[str, Sequence[Path]]) -> list[Row]:
    """Means and deviations over the runs of every variant, and the baseline; val first.

    Args:
        variants: what it is called -> its runs, which differ in their seeds only.

    Raises:
        DataError: no run has results.
    """
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    baseline: dict[tuple[str, str], Mapping[str, Any]] = {}
    for variant, runs in variants.items():
        for run in runs:
            measured = {split: results(run, split) for split in HELD_OUT}
            if not any(measured.values()):
                measured = {"train": results(run, "train")}
            for split, document in measured.items():
                if document is not None:
                    name = f"{split} (seen)" if document.get("seen") else split
                    found.setdefault((variant, name), []).append(document["means"])
            for row in summary(run):
                if row["label"] in TITLES:
                    baseline.setdefault((TITLES[row["label"]], row["split"]), row)
    if not found:
        raise DataError("No run has results.", "", "Train one to the end, or see `surfhead eval`.")
    splits = {split for _, split in found}
    made = [Row(name, split, 1, _spread([row])) for (name, split), row in baseline.items() if split in splits]
    made += [Row(variant, split, len(rows), _spread(rows)) for (variant, split), rows in found.items()]
    return sorted(made, key=lambda row: not row.split.startswith("val"))


def _spread(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[float, float]]:
    made = {}
    for name in COLUMNS:
        values = [float(row[name]) for row in rows if row.get(name) is not None]
        if values:
            deviation = statistics.stdev(values) if len(values) > 1 else 0.0
            made[name] = (statistics.fmean(values), deviation)
    return made


def _cells(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    columns = [name for name in COLUMNS if any(name in row.metrics for row in rows)]
    seeds = any(row.runs > 1 for row in rows)
    head = ["split", "variant", *(["seeds"] if seeds else []), *(name.replace("_", " ") for name in columns)]
    body = []
    for row in rows:
        cells = [row.split, row.variant, *([str(row.runs)] if seeds else [])]
        for name in columns:
            digits = 4 if name in FOUR_DIGITS else 2
            mean, deviation = row.metrics.get(name, (None, 0.0))
            text = "" if mean is None else f"{mean:.{digits}f}"
            cells.append(f"{text} ± {deviation:.{digits}f}" if text and row.runs > 1 else text)
        body.append(cells)
    return head, body


def rich_table(rows: Sequence[Row]) -> Table:
    """The comparison for a terminal."""
    head, body = _cells(rows)
    several = any(row.runs > 1 for row in rows)
    table = Table(title="Mean ± standard deviation over seeds" if several else "Means over views")
    for i, name in enumerate(head):
        table.add_column(name, justify="left" if i < 2 else "right")
    for cells in body:
        table.add_row(*cells)
    return table


def write_tables(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Write the comparison as CSV, Markdown and LaTeX (package booktabs); gives the files."""
    head, body = _cells(rows)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"table.{suffix}" for suffix in ("csv", "md", "tex")]
    with beside(paths[0]) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([head, *body])
    rule = "|".join("---" for _ in head)
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, *body)]
    lines.insert(1, f"|{rule}|")
    write_text(paths[1], "\n".join(lines) + "\n")
    tex = [" & ".join(map(_latex, cells)) for cells in (head, *body)]
    text = f"\\begin{{tabular}}{{ll{'r' * (len(head) - 2)}}}\n\\toprule\n{tex[0]} \\\\\n\\midrule\n"
    text += "".join(line + " \\\\\n" for line in tex[1:]) + "\\bottomrule\n\\end{tabular}\n"
    write_text(paths[2], text)
    return paths


def _latex(text: str) -> str:
    for mark in "&%$#_{}":
        text = text.replace(mark, f"\\{mark}")
    return text.replace("±", r"$\pm$")

"""What several runs reached, side by side: figures of held-out views, as tables."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from surfhead.core.errors import DataError
from surfhead.runs.measure import evaluate_run
from surfhead.runs.run import Run
from surfhead.training.monitoring import COLUMNS, TITLES, summary

log = logging.getLogger("surfhead")
HELD_OUT = ("val", "test")


@dataclass(frozen=True)
class Row:
    """One variant and split: metric -> (mean, standard deviation over its runs), and over how many."""

    variant: str
    split: str
    runs: int
    metrics: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)


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
    made = [
        Row(name, split, 1, _spread([row]), _counts([row]))
        for (name, split), row in baseline.items()
        if split in splits
    ]
    made += [
        Row(variant, split, len(rows), _spread(rows), _counts(rows))
        for (variant, split), rows in found.items()
    ]
    return sorted(made, key=lambda row: not row.split.startswith("val"))


def _spread(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[float, float]]:
    made = {}
    for name in COLUMNS:
        values = [float(row[name]) for row in rows if row.get(name) is not None]
        if values:
            deviation = statistics.stdev(values) if len(values) > 1 else 0.0
            made[name] = (statistics.fmean(values), deviation)
    return made


def _counts(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {name: sum(row.get(name) is not None for row in rows) for name in COLUMNS}

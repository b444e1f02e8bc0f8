"""What a run measures of itself: evaluations on the way, the baseline, and the table at the end."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surfhead.files import bounds
from surfhead.files.writing import write_text
from surfhead.measuring.baseline import TriangleBaseline, evaluate_baseline
from surfhead.measuring.evaluation import evaluate
from surfhead.terminal.figure_names import figure_name
from surfhead.terminal.figure_table import FigureTable

if TYPE_CHECKING:
    from surfhead.core.config import RunConfig
    from surfhead.training.trainer import Trainer

log = logging.getLogger("surfhead")
SUMMARY = "summary.json"
BASELINE = "baseline"
SEEN = 200  # views measured of those trained on, where nothing is held out
SMOOTH = "baseline-smooth"
TITLES = {BASELINE: "one colour a triangle", SMOOTH: "the same, smooth normals"}
COLUMNS = ("psnr", "foreground_psnr", "ssim", "lpips", "ncs", "angular_error")


def evaluate_during_training(trainer: Trainer, final: bool) -> None:
    """Measure val and test (or, where nothing is held out, what was trained on) and tell the observers."""
    config, scene = trainer.config, trainer.scene
    trained = set(trainer.order.views.tolist())
    splits = [s for s in ("val", "test") if len(scene.views.of(s))] or ["train"]
    folder = trainer.folder / "eval" / f"{trainer.images:08d}"
    limit = final_limit(config, splits) if final else config.evaluate.limit
    for split in splits:
        seen = bool(trained & set(scene.views.of(split).tolist()))
        result = evaluate(trainer.avatar, scene, split, folder=folder, limit=limit, seen=seen)
        result.write(folder)
        _note(trainer.folder, str(trainer.images), split, result.means, len(result.rows))
        trainer.events.tell("evaluated", run=trainer, images=trainer.images, split=split, means=result.means)
    if final and config.baseline and trainer.avatar.deformer.rig_bound:
        _measure_baselines(trainer, splits, limit)


def final_limit(config: RunConfig, splits: list[str]) -> int:
    """At most how many views of a split are measured at the end; 0: all.

    Views that were trained on, where nothing is held out, are bounded in any case: there may be a hundred
    thousand of them, and they say little.
    """
    limit = config.evaluate.final
    return min(limit or SEEN, SEEN) if splits == ["train"] else limit


def _measure_baselines(trainer: Trainer, splits: list[str], limit: int) -> None:
    bare = TriangleBaseline(trainer.scene, trainer.avatar.rig, trainer.order.views)
    for label, base in ((BASELINE, bare), (SMOOTH, bare.smoothed())):
        folder = trainer.folder / "eval" / label
        for split in splits:
            result = evaluate_baseline(base, split, folder=folder, limit=limit)
            result.write(folder)
            _note(trainer.folder, label, split, result.means, len(result.rows))


def _note(folder: Path, label: str, split: str, means: dict[str, float], views: int) -> None:
    path = folder / "eval" / SUMMARY
    rows = summary(folder)
    rows = [r for r in rows if (r["label"], r["split"]) != (label, split)]
    rows.append({"label": label, "split": split, "views": views, **means})
    write_text(path, json.dumps(rows, indent=1))


def summary(folder: Path) -> list[dict[str, Any]]:
    """Every evaluation of a run: ``label`` is the image count, or a baseline's name."""
    path = folder / "eval" / SUMMARY
    if not path.is_file():
        return []
    try:
        rows = bounds.read_json(path)
    except (OSError, ValueError, RecursionError):
        rows = None
    kept = [row for row in rows if _whole(row)] if isinstance(rows, list) else []
    if rows is None or not isinstance(rows, list) or len(kept) < len(rows):
        log.warning('"%s" is damaged; what can be read of it is used.', path)
    return kept


def _whole(row: Any) -> bool:
    """Whether a row of the summary is as it is written."""
    return (
        isinstance(row, dict)
        and isinstance(row.get("split"), str)
        and isinstance(row.get("views", 0), int)
        and isinstance(row.get("label"), str)
        and (row["label"] in TITLES or (row["label"].isdecimal() and len(row["label"]) < 19))
        and all(isinstance(row.get(name, 0.0), (int, float)) for name in COLUMNS)
    )


def summary_table(folder: Path) -> FigureTable:
    """First, baseline and last evaluation of every split, side by side."""
    rows = summary(folder)
    numbers = sorted({int(r["label"]) for r in rows if r["label"] not in TITLES})
    labels = {str(n) for n in ([numbers[0], numbers[-1]] if numbers else [])} | set(TITLES)
    kept = [r for r in rows if r["label"] in labels]
    columns = [c for c in COLUMNS if any(c in r for r in kept)]
    names = {key: figure_name(key) for key in columns}
    headings = [name.stacked for name in names.values()]
    table = FigureTable("Measured on held-out views (means over views)", [""], headings)
    for split in dict.fromkeys(r["split"] for r in kept):
        mine = [r for r in kept if r["split"] == split]
        mine.sort(key=lambda r: -1 if r["label"] in TITLES else int(r["label"]))
        table.strong.add(len(table.rows))
        table.rows.append([f"{split}, {mine[-1].get('views', '?')} views", *([""] * len(columns))])
        for row in mine:
            what = TITLES.get(row["label"], f"{row['label']} images")
            cells = [name.text(row.get(key)) for key, name in names.items()]
            table.rows.append([f"  {what}", *cells])
    return table

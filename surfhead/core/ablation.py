"""A grid of runs, several seeds each, and the table that compares them.

Every member is one run directory made by its own process, so a failing member does not take the others
with it, and a grid that was stopped finishes only what is missing.
"""

from __future__ import annotations

import csv
import json
import logging
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from surfhead.core.errors import DataError
from surfhead.core.monitoring import COLUMNS, TITLES, summary

log = logging.getLogger("surfhead")
DONE = "finished.json"


@dataclass(frozen=True)
class Member:
    """One run of a grid.

    Attributes:
        variant: what it is called in the table.
        seed: of the run.
        arguments: further arguments of `surfhead train`.
        folder: its run directory.
    """

    variant: str
    seed: int
    arguments: tuple[str, ...]
    folder: Path


@dataclass(frozen=True)
class Outcome:
    """How a member ended: ``error`` is empty when it finished; ``seconds`` it took just now."""

    member: Member
    error: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Row:
    """One variant and split: metric -> (mean, standard deviation over seeds)."""

    variant: str
    split: str
    seeds: int
    metrics: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def members(
    out: Path,
    *,
    presets: Sequence[str] = (),
    deformers: Sequence[str] = (),
    appearances: Sequence[str] = (),
    seeds: int = 1,
    arguments: Sequence[str] = (),
) -> list[Member]:
    """The grid: every preset, or every deformer with every appearance, times the seeds.

    Args:
        out: folder of the whole grid.
        arguments: passed on to each `surfhead train`, such as the data folder and --iterations.
    """
    variants: list[tuple[str, list[str]]] = [(name, ["--preset", name]) for name in presets]
    for deformer in deformers or ((None,) if not presets else ()):
        for appearance in appearances or (None,):
            chosen = [x for x in (deformer, appearance) if x]
            if chosen:
                words = ["--deformer", deformer] if deformer else []
                words += ["--appearance", appearance] if appearance else []
                variants.append((" ".join(chosen), [str(w) for w in words]))
    return [
        Member(
            name,
            seed,
            (*arguments, *words, "--seed", str(seed)),
            out / f"{name.replace(' ', '-')}-seed{seed}",
        )
        for name, words in variants
        for seed in range(seeds)
    ]


def run_members(
    grid: Sequence[Member],
    *,
    jobs: int = 1,
    threads: int | None = None,
    devices: Sequence[str] = (),
    report: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Run what is not finished yet.

    Args:
        grid: the members.
        jobs: how many run at a time.
        threads: CPU threads of each; None leaves the default.
        devices: devices handed round, such as ("cuda:0", "cuda:1"); empty: each decides.
        report: called after each member.
    """
    free = list(devices)

    def one(member: Member) -> Outcome:
        if (member.folder / DONE).exists():
            return Outcome(member)
        device = free.pop(0) if free else ""
        began = time.perf_counter()
        try:
            error = _run(member, device, threads)
        finally:
            if device:
                free.append(device)
        outcome = Outcome(member, error, time.perf_counter() - began)
        if not error:
            (member.folder / DONE).write_text(json.dumps({"seconds": outcome.seconds}), encoding="utf-8")
        if report is not None:
            report(outcome)
        return outcome

    with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
        return list(pool.map(one, grid))


def _run(member: Member, device: str, threads: int | None) -> str:
    resume = (member.folder / "config.toml").exists()
    words = ["--resume"] if resume else list(member.arguments)
    command = [sys.executable, "-m", "surfhead.cli", "train", *words, "--out", str(member.folder), "--quiet"]
    if device and not resume:
        command += ["--device", device]
    environment = dict(os.environ)
    if threads is not None:
        environment |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        member.folder.mkdir(parents=True, exist_ok=True)
        (member.folder / "failure.txt").write_text(done.stderr, encoding="utf-8")
        lines = [x for x in done.stderr.splitlines() if x.strip() and not x.startswith("warning: ")]
        return lines[0] if lines else f"exit code {done.returncode}"
    return ""


def collect(grid: Sequence[Member]) -> list[Row]:
    """Means and deviations over the seeds of every finished variant, and the baseline."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    baseline: dict[tuple[str, str], dict[str, Any]] = {}
    for member in grid:
        if not (member.folder / DONE).exists():
            continue
        rows = summary(member.folder)
        numbers = [int(r["label"]) for r in rows if r["label"] not in TITLES]
        for row in rows:
            if row["label"] in TITLES:
                baseline.setdefault((TITLES[row["label"]], row["split"]), row)
            elif int(row["label"]) == max(numbers):
                found.setdefault((member.variant, row["split"]), []).append(row)
    if not found:
        raise DataError("No member of the grid has finished.", "", "See failure.txt in its folders.")
    made = [Row(title, split, 1, _spread([row])) for (title, split), row in baseline.items()]
    made += [Row(variant, split, len(rows), _spread(rows)) for (variant, split), rows in found.items()]
    return sorted(made, key=lambda r: r.split != "val")


def _spread(rows: list[dict[str, Any]]) -> dict[str, tuple[float, float]]:
    made = {}
    for name in COLUMNS:
        values = [float(r[name]) for r in rows if name in r]
        if values:
            made[name] = (
                statistics.fmean(values),
                statistics.stdev(values) if len(values) > 1 else 0.0,
            )
    return made


def _cells(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    columns = [c for c in COLUMNS if any(c in r.metrics for r in rows)]
    head = ["split", "variant", "seeds", *(c.replace("_", " ") for c in columns)]
    body = []
    for row in rows:
        cells = [row.split, row.variant, str(row.seeds)]
        for name in columns:
            mean, deviation = row.metrics.get(name, (float("nan"), 0.0))
            digits = 4 if name in ("ssim", "ncs", "lpips") else 2
            text = f"{mean:.{digits}f}"
            cells.append(f"{text} ± {deviation:.{digits}f}" if row.seeds > 1 else text)
        body.append(cells)
    return head, body


def rich_table(rows: Sequence[Row]) -> Table:
    """The comparison for a terminal."""
    head, body = _cells(rows)
    table = Table(title="Mean ± standard deviation over seeds")
    for i, name in enumerate(head):
        table.add_column(name, justify="left" if i < 2 else "right")
    for cells in body:
        table.add_row(*cells)
    return table


def write_tables(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Write the comparison as CSV, Markdown and LaTeX; gives the files."""
    head, body = _cells(rows)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"table.{suffix}" for suffix in ("csv", "md", "tex")]
    with paths[0].open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([head, *body])
    rule = "|".join("---" for _ in head)
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, *body)]
    lines.insert(1, f"|{rule}|")
    paths[1].write_text("\n".join(lines) + "\n", encoding="utf-8")
    tex = [" & ".join(c.replace("±", r"$\pm$").replace("_", r"\_") for c in cells) for cells in body]
    text = f"\\begin{{tabular}}{{ll{'r' * (len(head) - 2)}}}\n\\toprule\n{' & '.join(head)} \\\\\n\\midrule\n"
    text += "".join(line + " \\\\\n" for line in tex) + "\\bottomrule\n\\end{tabular}\n"
    paths[2].write_text(text, encoding="utf-8")
    return paths

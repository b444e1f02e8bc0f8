"""The tables of a report: means beside the bare mesh's, the best marked, and where the avatar loses to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from surfhead.terminal.figure_names import figure_name
from surfhead.training.monitoring import TITLES, summary


class Cell(NamedTuple):
    """A cell's text, and whether it is the best of its column."""

    text: str
    best: bool = False


@dataclass(frozen=True)
class Figures:
    """The means of one split, and every view's.

    Attributes:
        title: what was measured.
        head, body: the means: the avatar at first, the bare mesh, the avatar.
        losses: a sentence for each figure in which the bare mesh is better.
        columns, rows: every view.
    """

    title: str
    head: list[str]
    body: list[list[Cell]]
    losses: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)


def figures_of(run: Path, split: str, document: Mapping[str, Any]) -> Figures:
    """First evaluation, baselines and the newest checkpoint's, then every view."""
    keys = list(document["means"])
    headings = [figure_name(key).heading for key in keys]
    rows = [row for row in summary(run) if row["split"] == split]
    numbered = sorted((row for row in rows if row["label"] not in TITLES), key=lambda row: int(row["label"]))
    bare = {TITLES[row["label"]]: row for row in rows if row["label"] in TITLES}
    lines: list[tuple[str, Any, Mapping[str, Any]]] = []
    if len(numbered) > 1:
        lines.append((f"{numbered[0]['label']} images", numbered[0].get("views", ""), numbered[0]))
    lines += [(what, row.get("views", ""), row) for what, row in bare.items()]
    lines.append(("this avatar", document["views"], document["means"]))
    marked = best_of([figures for _, _, figures in lines], keys)
    body = [
        [Cell(what), Cell(str(views)), *(cell[number] for cell in marked)]
        for number, (what, views, _) in enumerate(lines)
    ]
    return Figures(
        f"{split}{' (seen in training)' if document.get('seen') else ''}, means over views",
        ["", "views", *headings],
        body,
        losses_to(bare, document["means"]),
        ["view", *headings],
        [
            [str(row["view"]), *(figure_name(key).text(row.get(key)) for key in keys)]
            for row in document.get("rows", [])
        ],
    )


def best_of(rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> list[list[Cell]]:
    """Of each figure its cells, a cell a row; the best stands out, also several that read the same."""
    made = []
    for key in keys:
        name = figure_name(key)
        texts = [name.text(row.get(key)) for row in rows]
        values = [float(text) for text in texts if text]
        top = (max if name.higher else min)(values) if len(values) > 1 else None
        made.append([Cell(text, bool(text) and float(text) == top) for text in texts])
    return made


def losses_to(bare: Mapping[str, Mapping[str, Any]], means: Mapping[str, float]) -> list[str]:
    """A sentence for each figure in which a bare mesh is better than the avatar."""
    made = []
    for what, row in bare.items():
        for key, value in means.items():
            name, other = figure_name(key), row.get(key)
            if other is None or value is None or not name.better(other, value):
                continue
            if name.text(other) != name.text(value):
                told = f"{name.short}: {name.with_unit(value)} against {name.with_unit(other)}"
                made.append(f"The bare mesh ({what}) is better in {told}.")
    return made

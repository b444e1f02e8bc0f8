"""The comparison of variants as tables: for a terminal, as CSV, Markdown and LaTeX.

The best of each split and figure stands out. What differs from it by no more than the larger of both standard
deviations over seeds is marked, as more runs might turn it round.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from surfhead.files.writing import beside, open_text, write_text
from surfhead.results.variants import Row
from surfhead.terminal.figure_names import figure_name
from surfhead.terminal.figure_table import FigureTable
from surfhead.terminal.printable import one_line
from surfhead.training.monitoring import COLUMNS

WITHIN = "≈"
LEGEND = "within the spread of the best"
# What stands for letters that would be commands
LATEX = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}
MARKDOWN = {**{letter: f"\\{letter}" for letter in "|[`\\"}, "<": "&lt;"}
FILES = ("table.csv", "table.md", "table.tex", "grid.png")


class Cell(NamedTuple):
    """A figure of a row: its text, whether it is the best, and whether the best is within the spread."""

    text: str
    best: bool = False
    within: bool = False


def columns_of(rows: Sequence[Row]) -> list[str]:
    """The figures that any row has."""
    return [name for name in COLUMNS if any(name in row.metrics for row in rows)]


def cells_of(rows: Sequence[Row], key: str) -> list[Cell]:
    """A figure of every row, the best of each split marked."""
    name = figure_name(key)
    made = []
    for row in rows:
        if key not in row.metrics:
            made.append(Cell(""))
            continue
        mean, deviation = row.metrics[key]
        text = name.text(mean) + (f" ± {name.text(deviation)}" if row.runs > 1 else "")
        alike = [other for other in rows if other.split == row.split and key in other.metrics]
        top = (max if name.higher else min)(alike, key=lambda other: other.metrics[key][0])
        best, spread = top.metrics[key][0], max(deviation, top.metrics[key][1])
        first = len(alike) > 1 and name.text(mean) == name.text(best)
        made.append(Cell(text, first, len(alike) > 1 and not first and abs(mean - best) <= spread))
    return made


def rich_table(rows: Sequence[Row]) -> FigureTable:
    """The comparison for a terminal."""
    keys = columns_of(rows)
    several = any(row.runs > 1 for row in rows)
    columns = [cells_of(rows, key) for key in keys]
    best = {
        (place, at) for at, column in enumerate(columns) for place, cell in enumerate(column) if cell.best
    }
    table = FigureTable(
        "Mean ± standard deviation over seeds" if several else "Means over views",
        ["split", "variant", *(["seeds"] if several else [])],
        [figure_name(key).stacked for key in keys],
        [
            [*_lead(row, several), *(f"{cell.text}{WITHIN * cell.within}" for cell in cells)]
            for row, cells in zip(rows, zip(*columns, strict=True), strict=True)
        ],
        best,
    )
    if any(cell.within for column in columns for cell in column):
        table.caption = [f"{WITHIN}: {LEGEND}"]
    return table


def write_tables(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Write the comparison as CSV, Markdown and LaTeX (package booktabs); gives the files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in FILES[:3]]
    keys = columns_of(rows)
    several = any(row.runs > 1 for row in rows)
    with beside(paths[0]) as temporary, open_text(temporary) as stream:
        csv.writer(stream).writerows(_numbers(rows, keys))
    columns = [cells_of(rows, key) for key in keys]
    body = [(_lead(row, several), cells) for row, cells in zip(rows, zip(*columns, strict=True), strict=True)]
    within = any(cell.within for column in columns for cell in column)
    head = ["split", "variant", *(["seeds"] if several else [])]
    lines = [[*head, *(_markdown(figure_name(key).heading) for key in keys)]]
    lines += [[*map(_markdown, lead), *map(_marked, cells)] for lead, cells in body]
    told = [f"| {' | '.join(line)} |\n" for line in lines]
    told.insert(1, f"|{'|'.join('---' for _ in lines[0])}|\n")
    text = "".join(told)
    write_text(paths[1], text + (f"\n{WITHIN}: {LEGEND}\n" if within else ""))
    write_text(paths[2], _tex(head, keys, body, within))
    return paths


def _lead(row: Row, several: bool) -> list[str]:
    return [row.split, row.variant, *([str(row.runs)] if several else [])]


def _numbers(rows: Sequence[Row], keys: Sequence[str]) -> list[list[str | float | int]]:
    """The CSV: numbers only, a column each for mean, deviation and how many runs."""
    made: list[list[str | float | int]] = [["split", "variant"]]
    for key in keys:
        made[0] += [f"{key}_mean", f"{key}_deviation", f"{key}_n"]
    for row in rows:
        line: list[str | float | int] = [row.split, row.variant]
        for key in keys:
            if key in row.metrics:
                mean, deviation = row.metrics[key]
                count = row.counts.get(key, row.runs)
                line += [mean, deviation if count > 1 else "", count]
            else:
                line += ["", "", 0]
        made.append(line)
    return made


def _marked(cell: Cell) -> str:
    return f"**{cell.text}**" if cell.best else f"{cell.text}{WITHIN * cell.within}"


def _tex(
    head: Sequence[str], keys: Sequence[str], body: Sequence[tuple[list[str], Sequence[Cell]]], within: bool
) -> str:
    """A table as narrow as a page's text: units below the names, deviations small, a heading a split."""
    arrows = {"↑": r"$\uparrow$", "↓": r"$\downarrow$"}
    names, units = [*map(_latex, head[1:])], [""] * (len(head) - 1)
    for key in keys:
        name = figure_name(key)
        names.append(f"{_latex(name.short)} {arrows[name.arrow]}")
        units.append({"°": r"[$^\circ$]", "": ""}.get(name.unit, f"[{name.unit}]"))
    width = len(names)
    lines = [" & ".join(names)] + [" & ".join(units)] * any(units)
    text = "% needs \\usepackage{booktabs}\n{\\footnotesize\\setlength{\\tabcolsep}{5pt}\n"
    text += f"\\begin{{tabular}}{{l{'r' * (width - 1)}}}\n\\toprule\n"
    text += "".join(f"{line} \\\\\n" for line in lines)
    split = None
    for lead, cells in body:
        if lead[0] != split:
            split = lead[0]
            text += f"\\midrule\n\\multicolumn{{{width}}}{{l}}{{\\textit{{{_latex(split)}}}}} \\\\\n"
        text += " & ".join([*map(_latex, lead[1:]), *map(_tex_cell, cells)]) + " \\\\\n"
    text += "\\bottomrule\n"
    if within:
        text += f"\\multicolumn{{{width}}}{{l}}{{$^{{\\approx}}$ {LEGEND}}} \\\\\n"
    return text + "\\end{tabular}}\n"


def _tex_cell(cell: Cell) -> str:
    mean, _, deviation = cell.text.partition(" ± ")
    told = rf"\textbf{{{mean}}}" if cell.best else mean
    if deviation:
        told += rf"{{\scriptsize\,$\pm$\,{deviation}}}"
    return told + r"\rlap{$^{\approx}$}" * cell.within


def _latex(text: str) -> str:
    """A name as LaTeX prints it; none of its letters is a command."""
    return "".join(LATEX.get(letter, letter) for letter in one_line(text))


def _markdown(text: str) -> str:
    """A name as Markdown shows it; none of its letters ends the cell, begins a link or an element."""
    return "".join(MARKDOWN.get(letter, letter) for letter in one_line(text))

"""A table of figures that is cut into blocks where the terminal is narrower than it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from surfhead.terminal.printable import printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

GAP = 3  # columns between two columns
READABLE = 100  # columns of a caption


@dataclass
class FigureTable:
    """Rows of figures, each with a few cells that say what the row is about.

    Attributes:
        title: above it.
        keys: headings of the cells that say so; every block repeats them.
        figures: headings of the figures, units below them after a line break.
        rows: cells, as many as headings; an empty row is a rule.
        best: (row, column) of cells that stand out, column counted among the figures.
        strong: rows in bold.
        caption: paragraphs below it.
    """

    title: str
    keys: Sequence[str]
    figures: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    best: set[tuple[int, int]] = field(default_factory=set)
    strong: set[int] = field(default_factory=set)
    caption: Sequence[str] = ()

    def blocks(self, width: int) -> list[range]:
        """The figures' columns of each block, so that every block fits, if any can."""
        widths = [
            max(map(cell_len, _lines([heading, *(row[column] for row in self.rows if row)])))
            for column, heading in enumerate((*self.keys, *self.figures))
        ]
        ahead = sum(widths[: len(self.keys)]) + GAP * (len(self.keys) - 1)
        made, first, used = [], 0, ahead
        for column, own in enumerate(widths[len(self.keys) :]):
            if column > first and used + GAP + own > width:
                made.append(range(first, column))
                first, used = column, ahead
            used += GAP + own
        return [*made, range(first, len(self.figures))]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The title, the blocks, the caption."""
        width = options.max_width
        yield Text(printable(_filled(self.title, width)), "bold")
        for block in self.blocks(width - 1):
            yield self._table(block)
            yield Text("")
        for paragraph in self.caption:
            yield Text(_filled(paragraph, min(width, READABLE)), "dim")

    def _table(self, block: range) -> Table:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
        for heading in self.keys:
            table.add_column(heading, overflow="fold", no_wrap=False)
        for column in block:
            table.add_column(self.figures[column], justify="right", no_wrap=True)
        for number, row in enumerate(self.rows):
            if not row:
                table.add_section()
                continue
            plain = "bold" if number in self.strong else ""
            cells = [Text(printable(cell), plain) for cell in row[: len(self.keys)]]
            for column in block:
                style = "bold green" if (number, column) in self.best else plain
                cells.append(Text(printable(row[len(self.keys) + column]), style))
            table.add_row(*cells)
        return table


def _lines(texts: Sequence[str]) -> list[str]:
    return [line for text in texts for line in text.split("\n")]


def _filled(text: str, width: int) -> str:
    return textwrap.fill(text, max(width - 1, 20), break_long_words=False, break_on_hyphens=False)

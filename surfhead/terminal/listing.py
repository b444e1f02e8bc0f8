"""Rows of words: a table where it fits without breaking a word, else a paragraph a row."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from surfhead.terminal.console import console
from surfhead.terminal.printable import printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

GAP = 2  # columns between two columns
INDENT = "    "
WIDE = 139  # columns from which a word longer than its column is folded rather than the table given up
COMFORT = 24  # columns below which a column of sentences is a tower of words


@dataclass
class Listing:
    """Rows of words.

    Attributes:
        headings: of the columns; all empty: none are shown.
        rows: cells, as many as headings.
        lead: how many first columns name a row; they are not wrapped.
        faint: columns of lesser importance.
    """

    headings: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    lead: int = 1
    faint: frozenset[int] = frozenset()

    def print(self) -> None:
        """Print it on standard output. In a file and in a pipe every word stays whole, a long path too."""
        console(room=self.least() + 1).print(self)

    def least(self) -> int:
        """Columns below which a word would be broken, or a column of sentences be a tower."""
        total = GAP * (len(self.headings) - 1)
        for column, heading in enumerate(self.headings):
            cells = [heading, *(row[column] for row in self.rows)]
            whole = max(map(cell_len, cells), default=0)
            longest = max((cell_len(word) for cell in cells for word in cell.split()), default=0)
            total += whole if column < self.lead else max(longest, min(whole, COMFORT))
        return total

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table, or a paragraph a row."""
        width = options.max_width - 1
        if self.least() <= width or width >= WIDE:
            yield self._table()
            return
        for row in self.rows:
            cells = [cell for cell in row if cell]
            first = "  ".join(cell for cell in row[: self.lead] if cell)
            yield Text(printable(first), "bold")
            for cell in cells[len([c for c in row[: self.lead] if c]) :]:
                yield Text(printable(filled(cell, width, INDENT)))

    def _table(self) -> Table:
        headed = any(self.headings)
        shape = box.SIMPLE_HEAD if headed else None
        table = Table(box=shape, pad_edge=False, padding=(0, 1), show_header=headed, show_edge=False)
        for column, heading in enumerate(self.headings):
            style = "dim" if column in self.faint else "bold" if column == self.lead - 1 else ""
            table.add_column(heading, style=style, no_wrap=column < self.lead, overflow="fold")
        for row in self.rows:
            table.add_row(*(Text(printable(cell)) for cell in row))
        return table


def filled(text: str, width: int, indent: str = "") -> str:
    """Text in lines of at most ``width`` columns that end between words."""
    return textwrap.fill(
        text,
        max(width, 20),
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )

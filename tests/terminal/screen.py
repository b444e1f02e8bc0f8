"""A terminal's screen that folds its lines anew when its width changes, as most terminals do."""

from __future__ import annotations

import re

CODE = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])")


class Screen:
    """Rows of text. Each row knows whether it goes on in the next one."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.rows: list[tuple[str, bool]] = [("", False)]
        self.row = self.column = 0

    def feed(self, text: str) -> None:
        """Take what a program writes."""
        at = 0
        while at < len(text):
            code = CODE.match(text, at)
            if code is not None:
                self._control(code[1], code[2])
                at = code.end()
                continue
            letter = text[at]
            at += 1
            if letter == "\n":
                self.row, self.column = self.row + 1, 0
                self.rows += [("", False)] * (self.row + 1 - len(self.rows))
            elif letter == "\r":
                self.column = 0
            else:
                self._put(letter)

    def _put(self, letter: str) -> None:
        if self.column == self.width:
            self.rows[self.row] = (self.rows[self.row][0], True)
            self.feed("\n")
        text, goes_on = self.rows[self.row]
        text = text.ljust(self.column)
        self.rows[self.row] = (text[: self.column] + letter + text[self.column + 1 :], goes_on)
        self.column += 1

    def _control(self, numbers: str, letter: str) -> None:
        if letter == "A":
            self.row = max(self.row - int(numbers or 1), 0)
        elif letter == "K":
            assert numbers == "2"
            self.rows[self.row] = ("", False)
        else:
            assert letter in "mhl", letter

    def resize(self, width: int) -> None:
        """Fold every line anew; the cursor stays at its letter."""
        lines: list[str] = []
        cursor = (0, 0)
        starts = True
        for number, (text, goes_on) in enumerate(self.rows):
            if starts:
                lines.append("")
            if number == self.row:
                cursor = (len(lines) - 1, len(lines[-1]) + self.column)
            lines[-1] += text
            starts = not goes_on
        self.rows, self.width = [], width
        for number, line in enumerate(lines):
            pieces = [line[first : first + width] for first in range(0, len(line), width)] or [""]
            if number == cursor[0]:
                place = min(cursor[1] // width, len(pieces) - 1)
                self.row, self.column = len(self.rows) + place, cursor[1] - place * width
            self.rows += [(piece, last < len(pieces) - 1) for last, piece in enumerate(pieces)]

    @property
    def text(self) -> list[str]:
        """The rows that show something."""
        return [text.rstrip() for text, _ in self.rows if text.strip()]

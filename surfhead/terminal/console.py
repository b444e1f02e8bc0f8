"""Where commands print, and lines that fit there."""

from __future__ import annotations

import logging
import os
import re
import sys
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, ClassVar, cast

from rich.console import Console

from surfhead.terminal.printable import printable

PIPE_WIDTH = 100  # columns when the output is not a terminal and $COLUMNS does not say; Rich would fold at 80
WIDEST = 10_000  # columns, and lines, beyond which $COLUMNS and $LINES are believed no more
FILLED = re.compile(r"[ \t]+(?=\n)")  # blanks that fill a table's last column


class _Voice:
    """Whether anything but errors is printed, and what is shown in place meanwhile.

    Attributes:
        quiet: nothing but errors is printed.
        display: the console of what stays in place on the terminal, which lets others print above it.
    """

    quiet: ClassVar[bool] = False
    display: ClassVar[Console | None] = None


def print_above(display: Console | None) -> None:
    """Print above what this console keeps in place on the terminal, or as usual."""
    _Voice.display = display


def be_quiet(quiet: bool) -> None:
    """Print nothing but errors from now on, or everything again."""
    _Voice.quiet = quiet


def is_quiet() -> bool:
    """Whether nothing but errors is printed."""
    return _Voice.quiet


@contextmanager
def silence() -> Iterator[None]:
    """Within it nothing is shown, logged or warned of: for work whose words are not the user's."""
    log = logging.getLogger("surfhead")
    level, quiet = log.level, is_quiet()
    log.setLevel(logging.CRITICAL + 1)
    be_quiet(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        be_quiet(quiet)
        log.setLevel(level)


def forget_absurd_sizes() -> None:
    """Drop $COLUMNS and $LINES where no screen is of that size, so that the usual ones count.

    Terminals without a size say 0, into which Rich would print nothing, not even an error.
    """
    for name in ("COLUMNS", "LINES"):
        said = os.environ.get(name, "1")
        if not (said.isdecimal() and len(said) < 9 and 0 < int(said) <= WIDEST):
            del os.environ[name]


def console(*, stderr: bool = False, room: int = 0) -> Console:
    """A console on standard output or error as they are now; it prints text as it is, without markup.

    Args:
        stderr: standard error.
        room: columns something wants to be printed whole. A file and a pipe give them.
    """
    stream = sys.stderr if stderr else sys.stdout
    forget_absurd_sizes()
    if _Voice.display is not None and on_terminal(stream):
        return _Voice.display
    told = on_terminal(stream) or "COLUMNS" in os.environ
    return Console(
        highlight=False,
        markup=False,
        emoji=False,
        width=None if told else max(PIPE_WIDTH, room),
        file=None if on_terminal(stream) else cast("IO[str]", _Trimmed(stream)),
        stderr=stderr,
        quiet=is_quiet() and not stderr,
    )


class _Trimmed:
    """A file or a pipe, whose lines end with their last word."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write whole lines, as a console's output is."""
        return self._stream.write(FILLED.sub("", text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def on_terminal(stream: object) -> bool:
    """Whether what is written here is shown on a terminal; also below a display that stays in place."""
    stream = getattr(stream, "rich_proxied_file", stream)
    return bool(getattr(stream, "isatty", lambda: False)())


def say(text: str) -> None:
    """Print a sentence; on a terminal lines end between words, and paths stay whole."""
    console().print(wrapped(printable(text), sys.stdout), soft_wrap=True)


def wrapped(text: str, stream: object) -> str:
    """Text whose lines end between words where ``stream`` is a terminal; as it is elsewhere."""
    if not on_terminal(stream):
        return text
    forget_absurd_sizes()
    width = max(Console(file=stream, markup=False, emoji=False).width - 1, 20)  # type: ignore[arg-type]
    return "\n".join(
        textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)
        for line in text.splitlines()
    )

"""Where commands print."""

from __future__ import annotations

import sys

from rich.console import Console

PIPE_WIDTH = 140  # columns when the output is not a terminal; Rich would fold at 80


def console() -> Console:
    """A console on the present standard output, which prints text as it is: brackets are no markup."""
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return Console(highlight=False, markup=False, emoji=False, width=width)

"""Where commands print."""

from __future__ import annotations

import sys

from rich.console import Console

PIPE_WIDTH = 140  # columns when the output is not a terminal; Rich would fold at 80


def console() -> Console:
    """A console on the present standard output."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, width=PIPE_WIDTH)

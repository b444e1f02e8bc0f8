"""`surfhead report`: everything about a run in one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surfhead.commands.numbers import check_numbers
from surfhead.commands.parameters import Data, Debug, Device, Plugins, Quiet, RunFolder
from surfhead.core.errors import OptionError
from surfhead.terminal.bars import watched
from surfhead.terminal.console import say


def report(
    run: RunFolder,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="By default report.html in the run.")
    ] = None,
    views: Annotated[int, typer.Option(help="Held-out views with a comparison slider.")] = 4,
    frames: Annotated[int, typer.Option(help="Pictures of the turntable video; 0: no video.")] = 96,
    size: Annotated[int, typer.Option(help="Pixels a side of the turntable.")] = 384,
    turn: Annotated[
        float, typer.Option(help="Degrees of the turntable: all round, or less, to and fro.")
    ] = 360.0,
    data: Data = None,
    device: Device = "auto",
    plugin: Plugins = None,
    quiet: Quiet = False,
    debug: Debug = -1,
) -> None:
    """Write one HTML file about a run: settings, curves, figures, truth and avatar under a slider, turntable.

    The file holds everything it shows and loads nothing when opened.
    """
    from surfhead.files.writing import try_place
    from surfhead.results.report import write_report

    for name, value in (("views", views), ("frames", frames)):
        if value < 0:
            raise OptionError(f'"{name}" is {value}.', "Expected at least 0.", f"Mend --{name}.")

    check_numbers(views=views, frames=frames, size=size, turn=turn)
    try_place(out or run / "report.html")
    made = write_report(
        run, out, views=views, frames=frames, size=size, turn=turn, device=device, data=data, watch=watched
    )
    say(f"Report: {made}")

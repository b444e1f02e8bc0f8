"""`surfhead report`: everything about a run in one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surfhead.commands.numbers import check_numbers
from surfhead.commands.outputs import with_suffix
from surfhead.commands.parameters import Data, Debug, Device, Plugins, Quiet, RunFolder
from surfhead.core.errors import OptionError
from surfhead.terminal.bars import waiting, watched
from surfhead.terminal.console import say


def report(
    run: RunFolder,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="By default report.html in the run.")
    ] = None,
    views: Annotated[int, typer.Option(help="Held-out views with a comparison slider.")] = 4,
    worst: Annotated[int, typer.Option(help="Further ones: those with the lowest PSNR.")] = 2,
    frames: Annotated[int, typer.Option(help="Pictures of the turntable video; 0: no video.")] = 72,
    size: Annotated[int, typer.Option(help="Pixels a side of the turntable and the side views.")] = 640,
    turn: Annotated[
        float, typer.Option(help="Degrees of the turntable: all round, or less, to and fro.")
    ] = 360.0,
    page: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also the first page, as .pdf or .png; needs Chromium."),
    ] = None,
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
    from surfhead.results.first_page import SUFFIXES, check_page, write_first_page
    from surfhead.results.report import write_report

    for name, value in (("views", views), ("worst", worst), ("frames", frames)):
        if value < 0:
            raise OptionError(f'"{name}" is {value}.', "Expected at least 0.", f"Mend --{name}.")

    out = None if out is None else with_suffix(out, (".html", ".htm"))
    check_numbers(views=views, frames=frames, size=size, turn=turn)
    try_place(out or run / "report.html")
    if page is not None:
        page = check_page(with_suffix(page, SUFFIXES))
        try_place(page)
    waiting(f"Reading {run}")
    made = write_report(
        run,
        out,
        views=views,
        worst=worst,
        frames=frames,
        size=size,
        turn=turn,
        device=device,
        data=data,
        watch=watched,
    )
    say(f"Report: {made}")
    if page is not None:
        waiting("Printing the first page")
        say(f"First page: {write_first_page(made, page)}")

"""`surfhead report`: everything about a run in one HTML file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from surfhead.commands.console import console
from surfhead.commands.numbers import check_numbers
from surfhead.commands.parameters import Data, Debug, Device, Plugins, RunFolder
from surfhead.core.errors import OptionError


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
    debug: Debug = -1,
) -> None:
    """Write one HTML file about a run: settings, curves, figures, truth and avatar under a slider, turntable.

    The file holds everything it shows and loads nothing when opened.
    """
    from rich.progress import track

    from surfhead.files.writing import try_place
    from surfhead.results.report import write_report

    for name, value in (("views", views), ("frames", frames)):
        if value < 0:
            raise OptionError(f'"{name}" is {value}.', "Expected at least 0.", f"Mend --{name}.")

    check_numbers(views=views, frames=frames, size=size, turn=turn)
    try_place(out or run / "report.html")

    def watch(steps: Iterable[Any], what: str, count: int) -> Iterable[Any]:
        return track(steps, what, count, console=console(), transient=True)

    made = write_report(
        run, out, views=views, frames=frames, size=size, turn=turn, device=device, data=data, watch=watch
    )
    console().print(f"Report: {made}", soft_wrap=True)

"""`surfhead data check`: look at a data set before training on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surfhead.commands.command import Command, Group, choice
from surfhead.commands.parameters import Debug, Plugins, Quiet
from surfhead.terminal.console import console, say

FAILED = 1

data = typer.Typer(cls=Group, help="Work with data sets.", no_args_is_help=True)


@data.callback()
def _root() -> None:
    """Work with data sets."""


@data.command("check", cls=Command)
def check_data(
    folder: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA", help="Data set folder; by default the built-in head.", show_default=False
        ),
    ] = None,
    rig: Annotated[
        str | None, choice(kind="rig", auto=True, help="Whose mesh; by default what it was tracked with.")
    ] = None,
    assignment: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="data.OPTION=... or rig.OPTION=...; repeatable."),
    ] = None,
    limit: Annotated[int, typer.Option(help="Views to decode and compare, evenly spread; 0: all.")] = 32,
    out: Annotated[Path, typer.Option(help="Folder for pictures with the rig laid over.")] = Path(
        "data-check"
    ),
    plugin: Plugins = None,
    quiet: Quiet = False,
    debug: Debug = -1,
) -> None:
    """Say what is wrong with a data set; the exit code is 1 when something is.

    Every file, timestep and number is looked at. Pictures are decoded, and the rig is laid over them, in as
    many views as --limit says; without the rig's own files, all else is looked at.
    """
    from surfhead.avatars.assembly import make_rig
    from surfhead.core.errors import SurfheadError
    from surfhead.core.options import parse_setting
    from surfhead.data.data_check import SHEET, check_scene
    from surfhead.data.opening import open_scene
    from surfhead.files.writing import try_place
    from surfhead.runs.configuration import configure
    from surfhead.runs.layers import merge, nested
    from surfhead.terminal.listing import Listing

    try_place(out)
    named = {} if rig is None else {"rig": {"name": rig}}
    config = configure(folder, settings=merge(named, nested(map(parse_setting, assignment or []))))
    scene = open_scene(config).scene
    posable = None
    missing: list[str] = []
    if scene.rig != "none" or config.rig.name not in ("auto", "none"):
        try:
            posable = make_rig(config.rig, scene.rig, scene.rig_options, scene.identity, "cpu")
        except SurfheadError as error:
            lines = " ".join(str(error).splitlines())
            missing = [f"{lines} Without the rig, nothing is said of cameras and tracking."]
    report = check_scene(scene, posable, limit, out)
    problems = [*missing, *report.problems]
    table = Listing(["", ""], [*report.facts.items()])
    if report.iou is not None:
        table.rows.append(("rig over masks", f"IoU {report.iou:.3f} on average"))
    table.print()
    if report.samples:
        said = f"{len(report.samples)} overlays in {out}; all on one sheet, the worst first: {out / SHEET}"
        say(said)
    for note in scene.notes:
        say(f"Note: {note}")
    for problem in problems:
        say(f"Problem: {problem}")
    if problems:
        raise typer.Exit(FAILED)
    console().print("Nothing is wrong with it.")

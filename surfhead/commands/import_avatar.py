"""`surfhead import`: make a run of an avatar that another project, or `surfhead export`, wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from surfhead.commands.command import choice
from surfhead.commands.parameters import Debug, Plugins, Quiet
from surfhead.core.errors import OptionError
from surfhead.terminal.bars import waiting
from surfhead.terminal.console import say


def import_avatar(
    source: Annotated[
        Path, typer.Argument(help="Run folder of SurFhead or GaussianAvatars, an exported folder, or a .ply.")
    ],
    out: Annotated[Path, typer.Argument(metavar="RUN", help="New run folder.")],
    layout: Annotated[
        str, choice("--format", kind="format", help="The format that reads it, see `list format`.")
    ] = "surfhead",
    data: Annotated[
        str | None,
        typer.Option(help="Its data set: gives motion where the files lack it, and lets it train on."),
    ] = None,
    preset: Annotated[str, choice(kind="preset", help="How training would go on.")] = "paper",
    assignment: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any setting, such as rig.path=flame2023.pkl, and options of the format, such as "
            "format.neighbour_order=index; repeatable.",
        ),
    ] = None,
    plugin: Plugins = None,
    quiet: Quiet = False,
    debug: Debug = -1,
) -> None:
    """Make a run of an avatar from files: it renders, is measured, driven and trained on like any other."""
    from surfhead.core.exchange import StoredAvatar
    from surfhead.core.options import parse_setting
    from surfhead.core.registry import registry
    from surfhead.files.writing import try_place
    from surfhead.runs.layers import nested
    from surfhead.runs.takeover import import_run

    cls: Any = registry().get("format", layout)
    if not cls.reads:
        raise OptionError(f'Format "{layout}" cannot be read.', "", "See `surfhead list format` for others.")
    settings = nested(map(parse_setting, assignment or []))
    options = settings.pop("format", {})
    if not isinstance(options, dict):
        raise OptionError(
            f'Setting "format" is "{options}".',
            "Expected options of the format, such as format.neighbour_order=index.",
            "Name the format with --format.",
        )
    try_place(out)
    waiting(f"Reading {source}")
    stored = registry().create("format", layout, options).read(source)
    if not isinstance(stored, StoredAvatar):
        raise OptionError(
            f'Format "{layout}" holds no avatar.',
            "Expected a format such as surfhead.",
            "Choose another --format.",
        )
    waiting(f"Writing {out}")
    path = import_run(stored, out, data=data, preset=preset, settings=settings)
    say(f"{len(stored)} surfels in {path}")
    for note in stored.notes:
        say(f"Note: {note}")

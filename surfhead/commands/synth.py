"""`surfhead synth`: write a synthetic data set, or what any reader reads, to a folder in a chosen layout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from surfhead.commands.command import choice
from surfhead.commands.parameters import Debug, Plugins, Quiet
from surfhead.core.errors import DataError, OptionError
from surfhead.terminal.bars import waiting
from surfhead.terminal.console import say

SOURCE = "synthetic"


def synth(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New or empty folder.")],
    rig: Annotated[str | None, choice(kind="rig", help="Whose head; by default the built-in one.")] = None,
    layout: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="NAME", help="Layout of a data set that can be written; by default the first."
        ),
    ] = None,
    assignment: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="data.OPTION=... or rig.OPTION=...; repeatable."),
    ] = None,
    plugin: Plugins = None,
    quiet: Quiet = False,
    debug: Debug = -1,
) -> None:
    """Write a synthetic data set: pictures, masks, normals and depth of a moving head, ray-cast.

    With --set data.name=READER --set data.path=DATA, write what that reader reads in the layout of --format.
    """
    from surfhead.core.errors import unknown_name
    from surfhead.core.options import parse_setting
    from surfhead.core.registry import registry
    from surfhead.files.writing import try_place
    from surfhead.runs.layers import nested

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        what = "is not empty" if out.is_dir() else "is a file"
        raise DataError(f'"{out}" {what}.', "Expected a new or an empty folder.", "Choose another folder.")
    tables: dict[str, Any] = nested(map(parse_setting, assignment or []))
    for key, table in tables.items():
        if key not in ("data", "rig") or not isinstance(table, dict):
            raise unknown_name(
                "table of --set", key, ("data", "rig"), "For example: --set data.width=256", OptionError
            )
    options = dict(tables.get("data", {}))
    reader, path = options.pop("name", SOURCE), options.pop("path", None)
    if reader == SOURCE and path is None:
        if rig is not None:
            options["rig"] = rig
        if "rig" in tables:
            options["rig_options"] = tables["rig"]
    elif rig is not None or "rig" in tables:
        raise OptionError(
            f'A rig was named for data set "{reader}".',
            "What a reader reads has the rig it was tracked with.",
            "Leave out --rig and --set rig...",
        )
    writable = [name for name in registry().names("dataset") if _writes(name)]
    if layout is not None:
        registry().registration("dataset", layout)
    if layout not in (None, *writable) or not writable:
        raise OptionError(
            f'Data set "{layout or "of any kind"}" cannot be written.',
            f"These can: {', '.join(writable) or 'none'}.",
            "Choose one of these with --format.",
        )
    writer = registry().create("dataset", layout or writable[0])
    try_place(out)
    source = registry().create("dataset", reader, options)
    if path is None and source.on_disk:
        raise OptionError(
            f'Data set "{reader}" needs a path.', "None was given.", "Add --set data.path=FOLDER."
        )
    scene = source.open(None if path is None else Path(str(path)).expanduser())
    out.mkdir(parents=True, exist_ok=True)
    waiting(f"Writing {out}")
    writer.write(scene, out)
    views = scene.views
    say(f"{len(views)} views of {views.width}x{views.height} and {scene.timesteps} timesteps in {out}")
    one = scene.rig != "none" and len(set(views.camera[views.of("train")].tolist())) == 1
    say(f"Train on it: surfhead train {out}" + (" --preset monocular" if one else ""))


def _writes(name: str) -> bool:
    from surfhead.core.registry import registry

    cls: Any = registry().get("dataset", name)
    return bool(cls.writes)

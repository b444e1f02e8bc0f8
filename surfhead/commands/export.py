"""`surfhead export`: write a run's avatar, or one pose of it, in another format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from surfhead.commands.command import choice
from surfhead.commands.outputs import with_suffix
from surfhead.commands.parameters import Debug, Plugins, Quiet, RunFolder
from surfhead.core.errors import OptionError, unknown_name
from surfhead.files.places import resolved
from surfhead.terminal.bars import waiting
from surfhead.terminal.console import say
from surfhead.terminal.sizes import size_text

if TYPE_CHECKING:
    from torch import Tensor

    from surfhead.avatars.avatar import Avatar


def export(
    run: RunFolder,
    layout: Annotated[
        str, choice("--format", kind="format", help="The format, see `list format` for what can be written.")
    ] = "surfhead",
    timestep: Annotated[
        int | None, typer.Option(help="Formats of one pose: a timestep of the avatar's own motion.")
    ] = None,
    pose: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=NUMBERS", help="Or rig parameters, such as jaw=0.2,0,0; repeatable."),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="An option of the format, see `show format`; repeatable."
        ),
    ] = None,
    share: Annotated[
        bool,
        typer.Option(
            "--i-may-share-the-rig", help="Embed a rig whose licence forbids passing it on to others."
        ),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="File to write; by default in export/FORMAT of the run.")
    ] = None,
    plugin: Plugins = None,
    quiet: Quiet = False,
    debug: Debug = -1,
) -> None:
    """Write an avatar for other programs: the whole of it, or one pose."""
    from surfhead.core.options import parse_setting
    from surfhead.core.registry import registry
    from surfhead.files.writing import try_place
    from surfhead.runs.run import Run

    cls: Any = registry().get("format", layout)
    if not cls.writes:
        raise OptionError(
            f'Format "{layout}" cannot be written.', "", "See `surfhead list format` for the others."
        )
    options = dict(parse_setting(text) for text in setting or ())
    if share:
        options["i_may_share_the_rig"] = True
    writer = registry().create("format", layout, options)
    try_place(out or run / "export")
    waiting(f"Reading {run}")
    avatar = Run(run).avatar("cpu", rasterizer="torch")
    settings: dict[str, Any] = {} if timestep is None else {"timestep": timestep}
    if pose:
        settings["parameters"] = dict(_parameter(avatar, text) for text in pose)
    suffix = cls.suffixes[0] if cls.suffixes else ""
    stem = {".ply": "point_cloud", ".npz": layout}.get(suffix, resolved(run).name)
    path = run / "export" / layout / f"{stem}{suffix}" if out is None else with_suffix(out, cls.suffixes)
    path.parent.mkdir(parents=True, exist_ok=True)
    waiting(f"Writing {path}")
    for file in writer.write(avatar, path, **settings):
        say(f"Wrote {file} ({size_text(file.stat().st_size)})")


def _parameter(avatar: Avatar, text: str) -> tuple[str, Tensor]:
    """``NAME=NUMBERS`` as a rig parameter and its (1, size) values; missing ones at the end are zero."""
    import torch

    known = avatar.rig.parameters()
    name, _, numbers = text.partition("=")
    if name not in known:
        raise unknown_name("rig parameter", name, known, "For example: --pose jaw=0.2,0,0")
    try:
        values = [float(number) for number in numbers.split(",")]
    except ValueError:
        values = []
    if not 0 < len(values) <= known[name].size:
        raise OptionError(
            f'"{text}" is not a pose.',
            f"Expected {name}= and up to {known[name].size} numbers: {known[name].description}",
            "Separate the numbers by commas.",
        )
    padded = values + [0.0] * (known[name].size - len(values))
    return name, torch.tensor([padded])

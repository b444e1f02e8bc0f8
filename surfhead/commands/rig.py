"""`surfhead rig import`: turn a rig's published assets into one safetensors file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surfhead.commands.command import Command, Group
from surfhead.commands.outputs import with_suffix
from surfhead.commands.parameters import Debug, Plugins, Quiet
from surfhead.core.errors import DataError, OptionError
from surfhead.terminal.console import say

ENDING = ".safetensors"

rig = typer.Typer(cls=Group, help="Work with rigs' assets.", no_args_is_help=True)


@rig.callback()
def _root() -> None:
    """Work with rigs' assets."""


@rig.command("import", cls=Command)
def import_rig(
    name: Annotated[str, typer.Argument(help="Registered name of the rig, such as flame.")],
    source: Annotated[Path, typer.Argument(help="The published file or folder.")],
    out: Annotated[Path, typer.Argument(help="The file to write; .safetensors is added.")],
    assignment: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="OPTION=VALUE", help="Further options of the rig; repeatable."),
    ] = None,
    plugin: Plugins = None,
    quiet: Quiet = False,
    debug: Debug = -1,
) -> None:
    """Write a rig's published assets as one safetensors file, which loads faster and runs no code."""
    from surfhead.core.options import parse_setting
    from surfhead.core.registry import registry
    from surfhead.files.writing import try_place

    out = with_suffix(out, (ENDING,))
    if out.exists():
        raise DataError(f'"{out}" exists already.', "", "Choose another file, or remove it.")
    if out.suffix != ENDING:
        raise OptionError(
            f'"{out}" could not be read back: rigs are told from published files by their ending.',
            f"Expected a file name that ends in {ENDING}.",
            f"For example: {out.with_suffix(ENDING)}",
        )
    try_place(out)
    options = {"path": str(source), **dict(map(parse_setting, assignment or []))}
    out.parent.mkdir(parents=True, exist_ok=True)
    written = registry().create("rig", name, options).pack(out)
    say(f"Wrote {written}. Use it: --rig {name} --set rig.path={written}")

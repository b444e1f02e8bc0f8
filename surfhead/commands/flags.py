"""`surfhead flags`: the flags of GaussianAvatars and SurFhead, and what each does here."""

from __future__ import annotations

from typing import Annotated

import typer

from surfhead.commands.parameters import Debug, Plugins
from surfhead.terminal.console import say


def flags(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    plugin: Plugins = None,
    debug: Debug = -1,
) -> None:
    """List the flags of GaussianAvatars and SurFhead that `surfhead train` takes, or refuses with advice."""
    rows = table_rows()
    if as_json:
        import json

        typer.echo(json.dumps(rows, indent=1))
        return
    from surfhead.terminal.listing import Listing

    table = Listing(["flag", "default there", "here"], faint=frozenset((1,)))
    for row in rows:
        table.rows.append([row[key] for key in ("flag", "default", "here")])
    table.print()
    say(
        "Underscores or dashes, = or a space. A later word on the command line overrides an earlier one.",
    )


def table_rows() -> list[dict[str, str]]:
    """The table: flag, its default there, and what it is here."""
    from surfhead.commands.flag_table import TABLE

    return [{"flag": " ".join(row.names), "default": row.default, "here": row.here()} for row in TABLE]

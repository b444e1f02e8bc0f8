"""`surfhead list`: every registered component and where it came from."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from surfhead.commands.command import completion, kinds
from surfhead.commands.parameters import Debug, ReportedPlugins
from surfhead.terminal.console import say

PRESET = "preset"


def list_components(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND",
            help="deformer, appearance, ..., or preset; by default all kinds.",
            autocompletion=completion(kinds),
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    plugin: ReportedPlugins = None,
    debug: Debug = -1,
) -> None:
    """List the registered components: name, what it is, where it came from."""
    rows = presets() if kind == PRESET else components(kind)
    problems = broken()
    if as_json:
        typer.echo(json.dumps({"components": rows, "problems": problems}, indent=1))
        return
    from surfhead.terminal.listing import Listing

    table = Listing(["kind", "name", "summary", "from"], lead=2, faint=frozenset((0, 3)))
    shown = ""
    for row in rows:
        origin = f"{row['package']} {row['version']}" if row["package"] else row["file"]
        table.rows.append([row["kind"] if row["kind"] != shown else "", row["name"], row["summary"], origin])
        shown = row["kind"]
    table.print()
    if kind is None:
        say("Configurations by name: surfhead list preset. More on one: surfhead show KIND NAME.")
    for problem in problems:
        say(f'Broken plugin "{problem["plugin"]}": {problem["reason"]}')
        say(f"  at {problem['file']}")


def components(kind: str | None = None) -> list[dict[str, str]]:
    """The registered components as rows; a name two plugins claim is a row each."""
    from surfhead.core.registry import registry

    return [
        {
            "kind": r.kind,
            "name": r.name,
            "summary": r.summary,
            "origin": r.source.origin,
            "package": r.source.package,
            "version": r.source.version,
            "file": r.source.file,
        }
        for r in registry().registrations(kind)
    ]


def presets() -> list[dict[str, str]]:
    """The presets as rows."""
    from surfhead import __version__
    from surfhead.runs.layers import preset_description, preset_names

    return [
        {
            "kind": PRESET,
            "name": name,
            "summary": preset_description(name),
            "origin": "built-in",
            "package": "surfhead",
            "version": __version__,
            "file": "",
        }
        for name in preset_names()
    ]


def broken() -> list[dict[str, str]]:
    """Plugins that could not be used, and names that two plugins claim."""
    from surfhead.core.errors import PluginLoadError
    from surfhead.core.registry import registry

    found = registry()
    rows = [{"plugin": p.source.label, "reason": p.reason, "file": p.source.file} for p in found.problems]
    for kind, name in dict.fromkeys((r.kind, r.name) for r in found.registrations()):
        try:
            found.registration(kind, name)
        except PluginLoadError as error:
            files = ", ".join(r.source.file for r in found.registrations(kind) if r.name == name)
            rows.append({"plugin": name, "reason": error.what, "file": files})
    return rows

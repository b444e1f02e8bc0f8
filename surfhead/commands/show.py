"""`surfhead show`: a component's manual, options and source file, or a preset's settings."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from typing import Annotated, Any, get_type_hints

import typer

from surfhead.commands.command import completion, first_word, kinds, names_of_kind
from surfhead.commands.list import PRESET
from surfhead.commands.parameters import Debug, Plugins
from surfhead.terminal.console import console, say
from surfhead.terminal.waited import end_waiting


def show(
    kind: Annotated[
        str, typer.Argument(help="Kind of component, or preset.", autocompletion=completion(kinds))
    ],
    name: Annotated[str, typer.Argument(help="Registered name.", autocompletion=names_of_kind)],
    plugin: Plugins = None,
    debug: Debug = -1,
) -> None:
    """Show a component's manual and options, or a preset's settings."""
    if kind == PRESET:
        show_preset(name)
    else:
        show_component(kind, name)


def show_preset(name: str) -> None:
    """Print a preset as the TOML it amounts to."""
    import tomli_w

    from surfhead.runs.layers import present_preset, preset, preset_description

    name = present_preset(name)
    tables = preset(name)
    typer.echo(f"preset {name}: {preset_description(name)}\n")
    typer.echo(tomli_w.dumps(dict(sorted(tables.items(), key=lambda row: isinstance(row[1], dict)))))


def show_component(kind: str, name: str) -> None:
    """Print a component's manual, whether it can run here, its options and its source file."""
    from surfhead.core.registry import registry

    first_word("show")  # most components need PyTorch
    cls: Any = registry().get(kind, name)
    name = cls.name  # an old name may have been given
    end_waiting()
    source = registry().registration(kind, name).source
    out = console()
    out.print(f"{kind} {name}: {cls.summary}", style="bold")
    origin = f"{source.package} {source.version}" if source.package else source.file
    reason = cls.available()
    state = "can run here" if reason is None else f"cannot run here: {reason}"
    out.print(f"from {origin} ({source.origin}); {state}\n", style="dim")
    manual = inspect.getdoc(sys.modules[cls.__module__]) or inspect.getdoc(cls) or ""
    say(flowing(manual))
    if kind == "regularizer":
        out.print(
            f"\nPublished weight {cls.weight:g}, from {cls.start:.0%} of the run on; "
            "the keys weight, start and ramp (in images) belong to every regularizer."
        )
    table = options_table(cls)
    out.print()
    if table is None:
        out.print("It has no options.")
    else:
        table.print()
    if kind == "rig" and reason is None:
        out.print(_identity_words(cls))
    say(f"Source: {inspect.getsourcefile(cls)}")


def flowing(manual: str) -> str:
    """A docstring with a paragraph and a point of a list on one line each, indented lines as they are."""
    lines: list[str] = []
    for line in (
        re.sub("^::\n\n", "", manual, flags=re.M).replace("::\n", ":\n").replace("``", "`").splitlines()
    ):
        apart = not line or line.startswith(("- ", " " * 4))
        if apart or not lines or not lines[-1] or lines[-1].startswith(" " * 4):
            lines.append(line)
        else:
            lines[-1] += f" {line.strip()}"
    return "\n".join(lines)


def _identity_words(cls: Any) -> str:
    """Which of a rig's identity can learn. A rig may need a file to say how much of it there is."""
    from surfhead.core.components import Rig
    from surfhead.core.errors import SurfheadError

    if cls.identity_parameters is Rig.identity_parameters:
        return "\nIdentity: stays as it was tracked."
    try:
        rows = [f"{name} ({info.size})" for name, info in cls().identity_parameters().items()]
    except SurfheadError:
        rows = []
    what = ", ".join(rows) or "once its file is given"
    return f"\nIdentity: can learn with the avatar (rig.train_identity): {what}."


def options_table(cls: Any) -> Any:
    """A component's options, or None when it has none."""
    from surfhead.core.options import bounds_of, default_of, type_name
    from surfhead.terminal.listing import Listing

    hints = get_type_hints(cls.Options)
    fields = [f for f in dataclasses.fields(cls.Options) if f.init]
    if not fields:
        return None
    bounded = any(map(bounds_of, fields))
    table = Listing(["option", "type", "default", *(["bounds"] if bounded else []), "description"])
    for field in fields:
        default = default_of(field)
        table.rows.append(
            [
                field.name,
                type_name(hints[field.name]),
                "" if default is None else str(default),
                *([bounds_of(field)] if bounded else []),
                str(field.metadata.get("description", "")),
            ]
        )
    return table

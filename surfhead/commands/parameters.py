"""Parameters that several commands share."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer


def load_plugins(files: list[Path] | None) -> list[Path]:
    """Load plugin files as soon as they are read, so that every later parameter may name their parts."""
    from surfhead.core.registry import registry

    for file in files or []:
        registry().load_file(file)
    return files or []


def report_plugins(files: list[Path] | None) -> list[Path]:
    """Load plugin files; those that cannot be loaded are left to be reported."""
    from surfhead.core.registry import registry

    for file in files or []:
        registry().try_file(file)
    return files or []


def hush(quiet: bool) -> bool:
    """Print nothing but errors, if that is wanted, as soon as the option is read."""
    from surfhead.terminal.console import be_quiet

    be_quiet(quiet)
    logging.getLogger("surfhead").setLevel(logging.ERROR if quiet else logging.INFO)
    return quiet


def _plugin_option(callback: Callable[[list[Path] | None], list[Path]]) -> Any:
    return typer.Option(
        "--plugin",
        metavar="FILE",
        help="Python file with components of your own; repeatable.",
        callback=callback,
        is_eager=True,
        show_default=False,
    )


Plugins = Annotated[list[Path] | None, _plugin_option(load_plugins)]
ReportedPlugins = Annotated[list[Path] | None, _plugin_option(report_plugins)]
Debug = Annotated[
    int,
    typer.Option(
        "--debug",
        metavar="[FROM]",
        help="Show tracebacks; in training, check every step from image FROM on, and dump one that fails.",
        show_default=False,
    ),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", help="Print nothing but errors.", callback=hush, is_eager=True, show_default=False
    ),
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder made by `surfhead train`.")]
Data = Annotated[
    str | None,
    typer.Option("--data", metavar="FOLDER", help="Where the run's data are now."),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]

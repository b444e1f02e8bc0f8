"""Parameters that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def load_plugins(files: list[Path] | None) -> list[Path]:
    """Load plugin files as soon as they are read, so that every later parameter may name their parts."""
    from surfhead.core.registry import registry

    for file in files or []:
        registry().load_file(file)
    return files or []


Plugins = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin",
        metavar="FILE",
        help="Python file with components of your own; repeatable.",
        callback=load_plugins,
        is_eager=True,
        show_default=False,
    ),
]
Debug = Annotated[
    int,
    typer.Option(
        "--debug",
        metavar="[FROM]",
        help="Show tracebacks; in training, check every step from image FROM on, and dump one that fails.",
        show_default=False,
    ),
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder made by `surfhead train`.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]

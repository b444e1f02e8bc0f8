"""`surfhead compare`: existing runs side by side, in a table and a picture."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from surfhead.commands.numbers import check_numbers
from surfhead.commands.parameters import Debug, Device, Plugins, Quiet
from surfhead.core.errors import OptionError
from surfhead.files.places import resolved
from surfhead.terminal.console import console, say

DEFAULT = Path("runs/comparison")


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the tables and the picture; by default a new runs/comparison-N."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a comparison that is in --out already.")
    ] = False,
    views: Annotated[int, typer.Option(help="Held-out views in the picture; 0: no picture.")] = 4,
    device: Device = "auto",
    plugin: Plugins = None,
    quiet: Quiet = False,
    debug: Debug = -1,
) -> None:
    """Compare runs on their held-out views: a table (CSV, Markdown, LaTeX) and a picture.

    Results that are there are used; a run without them is measured first.
    """
    from surfhead.files.writing import try_place
    from surfhead.results.variants import measure

    if views < 0:
        raise OptionError(f'"views" is {views}.', "Expected at least 0.", "Mend --views.")
    check_numbers(views=views)
    if out is None:
        out = next(free for free in _numbered() if not holds_comparison(free))
    elif holds_comparison(out) and not overwrite:
        raise OptionError(
            f'"{out}" holds a comparison already.',
            "Expected a folder without one.",
            "Choose another --out, or add --overwrite.",
        )
    try_place(out)
    named = names(runs)
    for name, run in named.items():
        if measure(run, device):
            say(f"{name}: measured")
    show({name: [run] for name, run in named.items()}, out, views, device)


def holds_comparison(folder: Path) -> bool:
    """Whether files that would be written are there."""
    from surfhead.results.variant_tables import FILES

    return any((folder / name).exists() for name in FILES)


def _numbered() -> Iterator[Path]:
    yield DEFAULT
    for number in itertools.count(2):
        yield DEFAULT.with_name(f"{DEFAULT.name}-{number}")


def names(runs: Sequence[Path]) -> dict[str, Path]:
    """What each run is called: its folder's name, with as many of the folders above as tell runs apart."""
    places = [resolved(run) for run in runs]
    if len(set(places)) < len(runs):
        raise OptionError("A run is given twice.", "Expected different runs.", "Leave one out.")
    parts = [place.parts for place in places]
    for depth in range(1, max(map(len, parts)) + 1):
        made = ["/".join(part[-depth:]) for part in parts]
        if len(set(made)) == len(made):
            break
    return dict(zip(made, runs, strict=True))


def show(variants: Mapping[str, Sequence[Path]], out: Path, views: int, device: str) -> None:
    """Print the table and write it and the picture, which shows the first run of each variant."""
    import logging

    from surfhead.core.errors import DataError
    from surfhead.results.variant_tables import rich_table, write_tables
    from surfhead.results.variants import collect

    rows = collect(variants)
    console().print(rich_table(rows))
    say("Tables: " + ", ".join(str(path) for path in write_tables(rows, out)))
    if views == 0:
        return
    from surfhead.drawing.pictures import save
    from surfhead.results.variant_sheet import variant_sheet

    try:
        save(
            variant_sheet({name: runs[0] for name, runs in variants.items()}, views, device), out / "grid.png"
        )
    except DataError as error:
        logging.getLogger("surfhead").warning("No picture: %s", error.what)
        return
    say(f"Picture: {out / 'grid.png'}")

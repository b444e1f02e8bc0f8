"""`surfhead train-all`: one avatar for each of several data sets, here or on a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from surfhead.commands import grid
from surfhead.commands.command import choice
from surfhead.commands.parameters import Debug, Plugins, Quiet
from surfhead.core.errors import DataError, OptionError
from surfhead.files.places import resolved

FAILED = 1


def train_all(
    data: Annotated[
        list[str], typer.Argument(metavar="FOLDER...", help="Data set folders, one for each avatar.")
    ],
    preset: Annotated[
        str | None, choice(kind="preset", help="Preset of every run; by default what suits its data.")
    ] = None,
    assignment: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any setting of every run; repeatable."),
    ] = None,
    iterations: Annotated[int | None, typer.Option(help="Training images of every run.")] = None,
    seed: Annotated[int, typer.Option(help="Of every run.")] = 0,
    hold_out: Annotated[
        bool, typer.Option("--eval", help="Keep the val and test splits out of training.")
    ] = False,
    out: Annotated[
        Path, typer.Option(help="Folder of the runs, each named as its data; what is finished is kept.")
    ] = Path("runs/all"),
    jobs: grid.Jobs = None,
    threads: grid.Threads = None,
    device: grid.Devices = None,
    cluster: grid.Cluster = None,
    cpus: grid.Cpus = None,
    gpus: grid.Gpus = None,
    retries: grid.Retries = 3,
    plugin: Plugins = None,
    quiet: Quiet = False,
    debug: Debug = -1,
) -> None:
    """Train an avatar on each of several data sets and print their figures in one table.

    What is finished is kept, what was stopped goes on, and a run that fails does not stop the others.
    """
    from surfhead.commands.compare import show
    from surfhead.files.writing import try_place
    from surfhead.runs import ablation
    from surfhead.runs.layers import preset as preset_tables

    if preset:
        preset_tables(preset)
    names = named(data)
    see_recognised(names.values(), assignment or [])
    try_place(out)
    words = ["--preset", preset] if preset else []
    words += ["--iterations", str(iterations)] if iterations is not None else []
    words += [word for text in assignment or [] for word in ("--set", text)]
    words += [word for file in plugin or [] for word in ("--plugin", str(resolved(file)))]
    words += ["--eval"] if hold_out else []
    runs = [
        ablation.Member(name, seed, (str(folder), *words, "--seed", str(seed)), out / name)
        for name, folder in names.items()
    ]
    outcomes = grid.run(
        runs, out, jobs=jobs, threads=threads, device=device, cluster=cluster, cpus=cpus, gpus=gpus,
        retries=retries,
    )  # fmt: skip
    finished = ablation.finished(runs)
    if finished:
        show(finished, out, 0, "cpu")
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(FAILED)


def named(data: list[str]) -> dict[str, Path]:
    """Name of a run -> its data folder.

    Raises:
        OptionError: a folder is not there or is empty, or two have one name.
    """
    found: dict[str, Path] = {}
    for text in data:
        folder = resolved(text)
        if not folder.exists() or not folder.name:
            raise OptionError(
                f'There is no data set "{text}".', "Expected folders that are there.", "Mend the path."
            )
        if folder.is_dir() and not any(folder.iterdir()):
            raise OptionError(
                f'Data set "{text}" is an empty folder.', "Expected a folder of data.", "Mend the path."
            )
        if folder.name in found:
            raise OptionError(
                f'Two data sets are called "{folder.name}": {found[folder.name]} and {folder}.',
                "Expected a name of its own for each, for its run's folder has it.",
                "Rename one, or train it by itself.",
            )
        found[folder.name] = folder
    return found


def see_recognised(folders: Iterable[Path], assignment: Sequence[str]) -> None:
    """Raise the first folder's DataError where no reader recognises any; else each run fails by itself."""
    if any(text.startswith("data.name=") for text in assignment):
        return
    from surfhead.data.opening import data_choice

    first: DataError | None = None
    for folder in folders:
        try:
            data_choice(str(folder))
        except DataError as error:
            first = first or error
        else:
            return
    if first is not None:
        raise first

"""`surfhead ablate`: runs of presets or components with several seeds, compared in a table and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surfhead.commands import grid
from surfhead.commands.command import choice
from surfhead.commands.parameters import Debug, Plugins, Quiet
from surfhead.core.errors import OptionError
from surfhead.files.places import resolved

FAILED = 1


def ablate(
    data: Annotated[
        str | None, typer.Argument(help="Data set folder; by default the built-in head.", show_default=False)
    ] = None,
    presets: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Presets, such as vanilla,+jbs.")
    ] = None,
    deformer: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Deformers, such as similarity,jbs.")
    ] = None,
    appearance: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Appearances, such as sh,lasg.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Runs of each variant, with seeds 0, 1, ...")] = 3,
    preset: Annotated[
        str | None, choice(kind="preset", help="Preset every deformer and appearance starts from.")
    ] = None,
    assignment: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any setting of every run; repeatable."),
    ] = None,
    iterations: Annotated[int | None, typer.Option(help="Training images of every run.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the grid; what is finished there is kept.")] = Path(
        "runs/ablation"
    ),
    tables: Annotated[
        Path | None, typer.Option(help="Folder of the tables and the picture; by default --out.")
    ] = None,
    views: Annotated[int, typer.Option(help="Held-out views in the picture; 0: no picture.")] = 4,
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
    """Train every variant with several seeds, keeping val and test out of training, and compare them.

    What is finished is kept, what was stopped goes on, and a run that fails does not stop the others.
    """
    from surfhead.commands.compare import show
    from surfhead.core.registry import registry
    from surfhead.files.writing import try_place
    from surfhead.runs import ablation
    from surfhead.runs.layers import preset as preset_tables

    names = {
        "preset": grid.split(presets),
        "deformer": grid.split(deformer),
        "appearance": grid.split(appearance),
    }
    if bool(names["preset"]) == bool(names["deformer"] or names["appearance"]):
        raise OptionError(
            "A grid is made of --presets, or of --deformer and --appearance.",
            "Expected one of the two.",
            "For example: --deformer similarity,jbs --appearance sh,lasg",
        )
    if seeds < 1:
        raise OptionError(f'"seeds" is {seeds}.', "Expected at least 1.", "Mend --seeds.")
    if views < 0:
        raise OptionError(f'"views" is {views}.', "Expected at least 0.", "Mend --views.")
    for kind, chosen in names.items():
        for name in chosen:
            if kind == "preset":
                preset_tables(name)
            else:
                registry().registration(kind, name)
    try_place(out)
    arguments = [data] if data else []
    arguments += ["--preset", preset] if preset and not names["preset"] else []
    arguments += ["--iterations", str(iterations)] if iterations is not None else []
    arguments += [word for text in assignment or [] for word in ("--set", text)]
    arguments += [word for file in plugin or [] for word in ("--plugin", str(resolved(file)))]
    runs = ablation.members(
        out,
        presets=names["preset"],
        deformers=names["deformer"],
        appearances=names["appearance"],
        seeds=seeds,
        arguments=[*arguments, "--eval"],
    )
    outcomes = grid.run(
        runs, out, jobs=jobs, threads=threads, device=device, cluster=cluster, cpus=cpus, gpus=gpus,
        retries=retries,
    )  # fmt: skip
    show(ablation.finished(runs), tables or out, views, (grid.split(device) or ["auto"])[0])
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(FAILED)

"""`surfhead ablate`: runs of presets or components with several seeds, compared in a table and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from surfhead.commands.command import choice
from surfhead.commands.parameters import Debug, Plugins, Quiet
from surfhead.core.errors import OptionError
from surfhead.terminal.bars import polled
from surfhead.terminal.console import say
from surfhead.terminal.sizes import duration

if TYPE_CHECKING:
    from surfhead.runs.ablation import Outcome

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
    jobs: Annotated[
        int | None, typer.Option(help="Runs at a time; by default one on each device, or one.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads of each run.")] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="DEVICES", help="Devices handed round, such as cuda:0,cuda:1; by default every GPU."
        ),
    ] = None,
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

    names = {"preset": _split(presets), "deformer": _split(deformer), "appearance": _split(appearance)}
    if bool(names["preset"]) == bool(names["deformer"] or names["appearance"]):
        raise OptionError(
            "A grid is made of --presets, or of --deformer and --appearance.",
            "Expected one of the two.",
            "For example: --deformer similarity,jbs --appearance sh,lasg",
        )
    for name, value in (("seeds", seeds), ("jobs", jobs), ("threads", threads)):
        if value is not None and value < 1:
            raise OptionError(f'"{name}" is {value}.', "Expected at least 1.", f"Mend --{name}.")
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
    arguments += [word for file in plugin or [] for word in ("--plugin", str(file.resolve()))]
    grid = ablation.members(
        out,
        presets=names["preset"],
        deformers=names["deformer"],
        appearances=names["appearance"],
        seeds=seeds,
        arguments=[*arguments, "--eval"],
    )
    done = 0

    def report(outcome: Outcome) -> None:
        nonlocal done
        done += 1
        member = outcome.member
        state = f"failed: {outcome.error}" if outcome.error else duration(outcome.seconds)
        say(f"{member.variant}, seed {member.seed}: {state} ({member.folder})")

    say(f"{len(grid)} runs in {out}")
    devices = _split(device) or ablation.gpus()
    waiting = [member for member in grid if ablation.share_done(member) < 1.0]
    with polled(lambda: sum(map(ablation.share_done, waiting)), "Training", len(waiting), " runs"):
        outcomes = ablation.run_members(
            grid, jobs=jobs or max(len(devices), 1), threads=threads, devices=devices, report=report
        )
    if len(grid) > done:
        say(f"{len(grid) - done} of them had finished before.")
    show(ablation.finished(grid), tables or out, views, (devices or ["auto"])[0])
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(FAILED)


def _split(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]

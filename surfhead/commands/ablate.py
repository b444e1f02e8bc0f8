"""`surfhead ablate`: runs of presets or components with several seeds, and the table comparing them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from surfhead.commands.console import console
from surfhead.commands.parameters import Debug, Plugins
from surfhead.core.errors import OptionError

if TYPE_CHECKING:
    from surfhead.core.ablation import Outcome

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
        str | None, typer.Option(help="Preset every deformer and appearance starts from.")
    ] = None,
    assignment: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any setting of every run; repeatable."),
    ] = None,
    iterations: Annotated[int | None, typer.Option(help="Training images of every run.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the grid; what is finished there is kept.")] = Path(
        "runs/ablation"
    ),
    jobs: Annotated[int, typer.Option(help="Runs at a time.")] = 1,
    threads: Annotated[int | None, typer.Option(help="CPU threads of each run.")] = None,
    device: Annotated[
        str | None, typer.Option(metavar="DEVICES", help="Devices handed round, such as cuda:0,cuda:1.")
    ] = None,
    plugin: Plugins = None,
    debug: Debug = -1,
) -> None:
    """Train every variant with several seeds, keeping val and test out of training, and compare them."""
    from surfhead.core import ablation
    from surfhead.core.config import preset as preset_tables
    from surfhead.core.registry import registry

    names = {"preset": _split(presets), "deformer": _split(deformer), "appearance": _split(appearance)}
    if bool(names["preset"]) == bool(names["deformer"] or names["appearance"]):
        raise OptionError(
            "A grid is made of --presets, or of --deformer and --appearance.",
            "Expected one of the two.",
            "For example: --deformer similarity,jbs --appearance sh,lasg",
        )
    if seeds < 1 or jobs < 1:
        raise OptionError("--seeds and --jobs count something.", "Expected at least 1.", "Mend the option.")
    for kind, chosen in names.items():
        for name in chosen:
            if kind == "preset":
                preset_tables(name)
            else:
                registry().registration(kind, name)
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
        state = f"failed: {outcome.error}" if outcome.error else f"{outcome.seconds:.0f} s"
        _say(f"{member.variant}, seed {member.seed}: {state} ({member.folder})")

    _say(f"{len(grid)} runs in {out}")
    outcomes = ablation.run_members(grid, jobs=jobs, threads=threads, devices=_split(device), report=report)
    if len(grid) > done:
        _say(f"{len(grid) - done} of them had finished before.")
    rows = ablation.collect(grid)
    console().print(ablation.rich_table(rows))
    _say("Tables: " + ", ".join(str(path) for path in ablation.write_tables(rows, out)))
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(FAILED)


def _split(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _say(text: str) -> None:
    console().print(text, soft_wrap=True)

"""`surfhead eval`: measure a run on the held-out views of its data, or of other data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surfhead.commands.command import SPLITS, choice
from surfhead.commands.parameters import Debug, Device, Plugins, Quiet, RunFolder
from surfhead.core.errors import OptionError
from surfhead.terminal.bars import waiting
from surfhead.terminal.console import console

HELD_OUT = ("val", "test")


def evaluate(
    run: RunFolder,
    data: Annotated[
        str | None, typer.Option(help="Another data set of the same rig; by default the run's own.")
    ] = None,
    split: Annotated[
        list[str] | None,
        choice(names=SPLITS, help="val: held-out camera; test: held-out motion; both by default. Repeat it."),
    ] = None,
    limit: Annotated[int, typer.Option(help="At most so many views a split, evenly spread; 0: all.")] = 0,
    geometry: Annotated[
        int,
        typer.Option(
            metavar="N", help="Also mesh N timesteps of each split and measure them against the true surface."
        ),
    ] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Where tables and pictures go; by default eval/ in the run.")
    ] = None,
    own_motion: Annotated[
        bool,
        typer.Option(
            "--own-motion",
            help="With --data: pose it by its own refined motion, not the data's; for an imported avatar "
            "on the data it was trained on.",
        ),
    ] = False,
    fit_motion: Annotated[
        bool,
        typer.Option(
            "--fit-motion",
            help="Also fit the motion of these views to their pictures, the avatar held, as trackers that "
            "use pixels do, and measure again: SPLIT-fitted.",
        ),
    ] = False,
    fit_steps: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="With --fit-motion: steps for the head's pose, and as many with the rest; by default 60.",
        ),
    ] = None,
    device: Device = "auto",
    plugin: Plugins = None,
    quiet: Quiet = False,
    debug: Debug = -1,
) -> None:
    """Measure a run: PSNR, SSIM, normals and more, a view and on average, with comparison pictures."""
    from surfhead.files.writing import try_place
    from surfhead.runs.measure import evaluate_run

    for option, value in (("limit", limit), ("geometry", geometry)):
        if value < 0:
            raise OptionError(f'"{option}" is {value}.', "Expected at least 0.", f"Mend --{option}.")
    steps = _steps(fit_motion, fit_steps)
    try_place(out or run / "eval")
    waiting(f"Reading {run}")
    results = evaluate_run(
        run,
        data=data,
        splits=tuple(split or HELD_OUT),
        device=device,
        out=out,
        limit=limit,
        own_motion=own_motion,
        fit_motion=steps,
    )
    for number, result in enumerate(results.values(), 1):
        console().print(result.table(explained=number == len(results)))
    if geometry > 0:
        from surfhead.results.geometry_evaluation import evaluate_run_geometry

        found = evaluate_run_geometry(
            run,
            data=data,
            splits=[name for name in results if name in SPLITS],
            count=geometry,
            device=device,
            out=out,
            own_motion=own_motion,
        )
        console().print(found.table())


def _steps(fit_motion: bool, fit_steps: int | None) -> int:
    """Steps of each stage of the fit; 0: it is not wanted. Raises OptionError."""
    if fit_steps is not None and not fit_motion:
        raise OptionError(
            '"fit-steps" is given without "fit-motion".', "Expected both.", "Add --fit-motion, or drop it."
        )
    if fit_steps is not None and fit_steps < 1:
        raise OptionError(f'"fit-steps" is {fit_steps}.', "Expected at least 1.", "Mend --fit-steps.")
    from surfhead.measuring.motion_fit import STEPS

    return (STEPS if fit_steps is None else fit_steps) if fit_motion else 0

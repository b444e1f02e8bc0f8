"""What `ablate` and `train-all` have in common: where the runs of a grid run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from surfhead.commands.command import choice
from surfhead.core.errors import OptionError
from surfhead.terminal.bars import polled
from surfhead.terminal.console import say
from surfhead.terminal.sizes import duration

if TYPE_CHECKING:
    from surfhead.runs.ablation import Member, Outcome

CLUSTERS = ("ray",)

Jobs = Annotated[int | None, typer.Option(help="Runs at a time here; by default one on each device, or one.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads of each run.")]
Devices = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="DEVICES",
        help="Devices of this machine handed round, such as cuda:0,cuda:1; by default every GPU.",
    ),
]
Cluster = Annotated[
    str | None,
    choice("--cluster", names=CLUSTERS, help="Send the runs to a cluster instead (extra `cluster`)."),
]
Cpus = Annotated[
    float | None, typer.Option(help="CPUs of each run on the cluster; by default 1.", show_default=False)
]
Gpus = Annotated[
    float | None,
    typer.Option(
        help="GPUs of each run on the cluster, or a part of one; by default 1 where it has any.",
        show_default=False,
    ),
]
Retries = Annotated[int, typer.Option(help="How often a run whose machine was lost is started again.")]


def run(
    grid: Sequence[Member],
    out: Path,
    *,
    jobs: int | None,
    threads: int | None,
    device: str | None,
    cluster: str | None,
    cpus: float | None,
    gpus: float | None,
    retries: int,
) -> list[Outcome]:
    """Run what is missing of a grid, here or on a cluster, and say how each run ended.

    Raises:
        OptionError: options that do not go together, or numbers that cannot be.
    """
    from surfhead.runs import ablation

    for name, value in (("jobs", jobs), ("threads", threads)):
        if value is not None and value < 1:
            raise OptionError(f'"{name}" is {value}.', "Expected at least 1.", f"Mend --{name}.")
    _check(cluster, {"jobs": jobs, "device": device}, {"cpus": cpus, "gpus": gpus}, retries)
    done = 0

    def report(outcome: Outcome) -> None:
        nonlocal done
        done += 1
        member = outcome.member
        state = f"failed: {outcome.error}" if outcome.error else duration(outcome.seconds)
        say(f"{member.variant}, seed {member.seed}: {state} ({member.folder})")

    say(f"{len(grid)} runs in {out}")
    waiting = [member for member in grid if ablation.share_done(member) < 1.0]
    with polled(lambda: sum(map(ablation.share_done, waiting)), "Training", len(waiting), " runs"):
        if cluster is None:
            devices = split(device) or ablation.gpus()
            outcomes = ablation.run_members(
                grid, jobs=jobs or max(len(devices), 1), threads=threads, devices=devices, report=report
            )
        else:
            from surfhead.runs import ray_cluster

            shares = ray_cluster.Shares(cpus, gpus, threads, retries)
            outcomes = ray_cluster.run_members(grid, shares, report)
    if len(grid) > done:
        say(f"{len(grid) - done} of them had finished before.")
    return outcomes


def _check(
    cluster: str | None, here: dict[str, object], there: dict[str, float | None], retries: int
) -> None:
    """Raise OptionError for options of the other place, or for a cluster of no known kind."""
    if cluster is not None and cluster not in CLUSTERS:
        raise OptionError(
            f'There is no cluster "{cluster}".',
            f"Known: {', '.join(CLUSTERS)}.",
            "Choose one of these with --cluster.",
        )
    given = [name for name, value in (there if cluster is None else here).items() if value is not None]
    if given:
        place = "on a cluster" if cluster is None else "on this machine"
        raise OptionError(
            f"--{given[0]} is for runs {place}.",
            "Expected --jobs and --device without --cluster, --cpus and --gpus with it.",
            f"Leave --{given[0]} out, or {'add' if cluster is None else 'leave out'} --cluster ray.",
        )
    if retries < 0:
        raise OptionError(f'"retries" is {retries}.', "Expected at least 0.", "Mend --retries.")


def split(text: str | None) -> list[str]:
    """The names between commas."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]

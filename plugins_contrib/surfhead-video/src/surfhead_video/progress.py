"""A progress bar for every stage of tracking and refining, on a terminal; elsewhere one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from surfhead_video.tracking import Report


@contextmanager
def stages(what: str, given: Report | None) -> Iterator[Report]:
    """Where stages are reported to: ``given``, or bars.

    Args:
        what: is done, such as ``Tracking me.mp4``.
        given: called with the stage, what is done and what there is.
    """
    if given is not None:
        yield given
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, markup=False, emoji=False)
    if not console.is_terminal:
        console.print(f"{what}, once.", highlight=False)
        yield lambda stage, done, total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        tasks: dict[str, object] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done, total=total)  # type: ignore[arg-type]

        yield report

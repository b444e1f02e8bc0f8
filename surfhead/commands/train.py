"""`surfhead train`: compose a run by name, train it, measure it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from surfhead.commands.command import choice
from surfhead.commands.parameters import Debug, Plugins, Quiet
from surfhead.commands.train_words import in_order, notes_of
from surfhead.core.errors import OptionError
from surfhead.files.places import place, resolved
from surfhead.terminal.console import console, say

DEFAULT_PRESET = "fast"
NAMED = ("deformer", "appearance", "rasterizer", "rig")  # options that name a component
PLAIN = ("iterations", "batch_size", "seed", "device", "hold_out")  # options spelled as their settings


def train(
    context: typer.Context,
    data: Annotated[
        str | None, typer.Argument(help="Data set folder; by default the built-in head.", show_default=False)
    ] = None,
    deformer: Annotated[str | None, choice(kind="deformer", help="How surfels follow the mesh.")] = None,
    appearance: Annotated[
        str | None, choice(kind="appearance", help="How surfels get their colours.")
    ] = None,
    rasterizer: Annotated[
        str | None, choice(kind="rasterizer", auto=True, help="What draws them; auto is the fastest here.")
    ] = None,
    rig: Annotated[
        str | None,
        choice(kind="rig", auto=True, help="Whose mesh; by default what the data was tracked with."),
    ] = None,
    regularizer: Annotated[
        list[str] | None,
        choice(
            kind="regularizer", metavar="NAME=WEIGHT", help="Weight of a loss term, 0 for none. Repeat it."
        ),
    ] = None,
    preset: Annotated[
        str | None,
        choice(
            kind="preset",
            help="Settings to start from, see `list preset`; unless --config names them, what suits the "
            f"data, mostly {DEFAULT_PRESET}.",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML file, such as a run's config.toml.")
    ] = None,
    assignment: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Any setting, such as densifier.every=200; repeatable."
        ),
    ] = None,
    plugin: Plugins = None,
    iterations: Annotated[int | None, typer.Option(help="Training images in total.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Views a step.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of every random choice.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    processes: Annotated[
        int, typer.Option(help="Processes that share every batch, a GPU each; torchrun works, too.")
    ] = 1,
    out: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Run folder; by default runs/DATA-DEFORMER-APPEARANCE-N."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out.")] = False,
    start_from: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="CHECKPOINT", help="Begin a new run with another's (or a run's) surfels."
        ),
    ] = None,
    hold_out: Annotated[
        bool, typer.Option("--eval", help="Keep the val and test splits out of training.")
    ] = False,
    viewer: Annotated[
        bool, typer.Option("--viewer", help="Show the run in a browser; see `show observer viewer`.")
    ] = False,
    quiet: Quiet = False,
    debug: Debug = -1,
) -> None:
    """Train an avatar on DATA, or on the built-in head, and measure it on held-out views."""
    from surfhead.runs import launch
    from surfhead.runs.layers import merge, nested, read_file
    from surfhead.runs.train import train as train_run

    launch.check_count(processes)
    if processes > 1 and not launch.started_together():
        raise typer.Exit(launch.run_together(context.obj, processes))
    if launch.started_first():
        for note in notes_of(context):
            typer.echo(f"note: {note}", err=True)
    # a resumed run may be looked at more closely than it was begun
    words = [word for word in in_order(context) if not (resume and word[0] == "debug")]
    settings: dict[str, Any] = {}
    if plugin:
        settings["plugins"] = [str(resolved(file)) for file in plugin]
    settings = merge(settings, nested(filter(None, (setting(*word) for word in words))))
    if resume:
        asked = merge(read_file(config) if config else {}, settings)
        refuse_changes(out, asked if preset is None else {"preset": preset, **asked}, data)
    if preset is None and not resume:
        from surfhead.data.opening import usual_preset

        table = settings.get("data")  # what is wrong with it is said where the run is configured
        named = table.get("name") if isinstance(table, Mapping) else None
        named = named if isinstance(named, str) else None
        there = data is None or place(data).exists()
        usual = usual_preset(data, named) if there and not config else ""
        preset = read_file(config).get("preset") if config else usual
        preset = preset or DEFAULT_PRESET
    folder = train_run(
        data,
        preset=preset,
        file=config,
        settings=settings,
        out=out,
        resume=resume,
        start_from=start_from,
        quiet=quiet,
        debug=debug,
    )
    if launch.started_first():
        report(folder)


def setting(parameter: str, value: Any) -> tuple[str, Any] | None:
    """What one option sets, as a dotted key and its value; None for an option that is no setting."""
    from surfhead.core.options import parse_setting

    if parameter == "assignment":
        return parse_setting(value)
    if parameter == "regularizer":
        return weighted(value)
    if parameter in NAMED:
        return f"{parameter}.name", value
    if parameter in PLAIN:
        return parameter, value
    if parameter == "debug" and value >= 0:
        return parameter, value
    return ("observers.viewer", {}) if parameter == "viewer" else None


def weighted(text: str) -> tuple[str, dict[str, float]]:
    """``NAME=WEIGHT`` as a regularizer's key and its settings."""
    name, _, number = text.partition("=")
    try:
        return f"regularizers.{name.strip()}", {"weight": float(number)}
    except ValueError as error:
        raise OptionError(
            f'"{text}" is not a weighted regularizer.',
            "Expected NAME=WEIGHT.",
            "For example: --regularizer normal=0.05",
        ) from error


def refuse_changes(out: Path | None, asked: Mapping[str, Any], data: str | None) -> None:
    """Raise OptionError where a resumed run is asked for other settings than those it was started with.

    Options that repeat what the run has are welcome: the same command with --resume added continues it.
    """
    from surfhead.core.config import as_tables
    from surfhead.runs.configuration import configure
    from surfhead.runs.existing import CONFIG
    from surfhead.runs.run import Run

    if out is None or not (asked or data):
        return
    saved = Run(out).config
    wanted = configure(data, preset=None, file=out / CONFIG, settings=asked)
    before, after = as_tables(saved), as_tables(wanted)
    changed = sorted(
        key
        for key in before.keys() | after.keys()
        if before.get(key) != after.get(key) and not (data and key == "path")
    )
    if changed:
        raise OptionError(
            f'Run "{out}" was started with other settings: {", ".join(changed)}.',
            f"--resume continues with those in {out / CONFIG}.",
            "Leave these options out, or start a new run from this one with --from.",
        )


def report(folder: Path) -> None:
    """Print what the run reached, and where it is."""
    from surfhead.training.monitoring import summary, summary_table

    out = console()
    if summary(folder):
        out.print(summary_table(folder))
    say(f"Run: {folder}")
    say(f"Pictures of it in motion: surfhead render {folder}")

"""What all commands have in common: the first word, the names that can be chosen, help that fits."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from surfhead.core.errors import OptionError
from surfhead.terminal.console import is_quiet, on_terminal
from surfhead.terminal.renamed import OF_OPTIONS, sentence
from surfhead.terminal.waited import end_waiting

TRANSFERS, POSES = ("absolute", "relative"), ("driver", "relative", "fixed")  # a test sees that they are so
SPLITS = ("train", "val", "test", "all")
NARROW = 80  # columns below which help is written a line an option
READY = ("list", "show", "flags")  # commands that answer at once
PRESET, AUTO = "preset", "auto"
MARK = re.compile(r"\{(\w+)(\+auto)?\}")  # where the names stand that are registered when help is asked for


def registered(kind: str, *, auto: bool = False) -> list[str]:
    """The names of a kind of component, or of presets, as they are registered now."""
    if kind == PRESET:
        from surfhead.runs.layers import preset_names

        return list(preset_names())
    from surfhead.core.registry import registry

    return [AUTO] * auto + registry().names(kind)


def choice(
    *flags: str,
    help: str,
    names: Sequence[str] = (),
    kind: str = "",
    auto: bool = False,
    metavar: str | None = None,
) -> Any:
    """An option with a choice of names, which help and the shell's completion know.

    Args:
        flags: as of ``typer.Option``.
        help: what it is about; the names are added.
        names: the choice.
        kind: or the kind of component whose names are the choice.
        auto: of the kind's names, whether ``auto`` is one.
        metavar: what stands for the value, where it is not the name alone.
    """
    told = f"{{{kind}{'+auto' * auto}}}" if kind else ", ".join(names)
    return typer.Option(
        *flags,
        metavar=metavar,
        help=f"{help} Choices: {told}.",
        autocompletion=completion(lambda: registered(kind, auto=auto) if kind else list(names)),
    )


def completion(names: Callable[[], Sequence[str]]) -> Callable[[str], list[str]]:
    """What completes a word in the shell."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names() if name.startswith(incomplete)]

    return complete


def kinds() -> list[str]:
    """The kinds of components, and ``preset``."""
    from surfhead.core.registry import registry

    return sorted({row.kind for row in registry().registrations()} | {PRESET})


def names_of_kind(ctx: typer.Context, incomplete: str) -> list[str]:
    """What completes a component's name once its kind is written."""
    kind = str(ctx.params.get("kind") or "")
    return [name for name in registered(kind) if name.startswith(incomplete)] if kind in kinds() else []


class Command(TyperCommand):
    """Says its first word before PyTorch is loaded, and writes help for narrow terminals, too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read its words, of which old names of options are taken for the new ones, with a note."""
        words = with_new_names(ctx, args)
        rest: list[str] = super().parse_args(ctx, list(words))
        self._refuse_empty_places(ctx, words)
        return rest

    def _refuse_empty_places(self, ctx: Any, words: list[str]) -> None:
        """Raise OptionError for an empty word in a path's place, which would mean the folder we are in."""
        if ctx.resilient_parsing or "" not in "=".join(words).split("="):
            return
        given = self.make_parser(ctx).parse_args(args=list(words))[0]
        for parameter in self.get_params(ctx):
            said, value = given.get(parameter.name), ctx.params.get(parameter.name)
            values = value if isinstance(value, (list, tuple)) else [value]
            place = parameter.name == "data" or any(isinstance(each, Path) for each in values)
            if place and (said == "" or (isinstance(said, (list, tuple)) and "" in said)):
                option = parameter.param_type_name == "option"
                name = parameter.opts[0] if option else str(parameter.name).upper()
                raise OptionError(
                    f"{name} is empty.",
                    "Expected a path; a shell variable that is not set gives none.",
                    'Write "." for the folder you are in.',
                )

    def invoke(self, ctx: Any) -> Any:
        """Run it."""
        if ctx.info_name not in READY:
            from surfhead.commands.numbers import check_given

            check_given(self.get_params(ctx), ctx.params)
            check_runs(ctx.params)
            first_word(str(ctx.info_name))
        try:
            return super().invoke(ctx)
        finally:
            end_waiting()

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The help, with the names that are registered now."""
        for parameter in self.get_params(ctx):
            if getattr(parameter, "help", None):
                parameter.help = MARK.sub(_names, parameter.help)  # type: ignore[attr-defined]
        if terminal_width() < NARROW:
            typer.echo("\n".join(narrow_help(self, ctx, terminal_width())))
        else:
            super().format_help(ctx, formatter)


def check_runs(given: Mapping[str, Any]) -> None:
    """Raise DataError where what a command takes as a run is none, before it waits or writes."""
    from surfhead.runs.existing import check_run

    for name in ("run", "runs", "beside"):
        value = given.get(name)
        for folder in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(folder, Path):
                check_run(folder)


def with_new_names(ctx: Any, args: Sequence[str]) -> list[str]:
    """A command's words, where options that have another name now are called by it; a note says so."""
    table, words = OF_OPTIONS.get(str(ctx.info_name), {}), []
    for word in args:
        name, equals, value = word.partition("=")
        if name in table:
            if "--quiet" not in args:
                typer.echo(f"note: {sentence(name, table[name])}", err=True)
            name = table[name].new
        words.append(f"{name}{equals}{value}")
    return words


class Group(TyperGroup):
    """A group of commands whose help fits narrow terminals, too."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The help."""
        if terminal_width() < NARROW:
            typer.echo("\n".join(narrow_help(self, ctx, terminal_width())))
        else:
            super().format_help(ctx, formatter)


def first_word(name: str) -> None:
    """Say that the command has begun, where PyTorch must be loaded first, which takes seconds."""
    if "torch" in sys.modules or is_quiet():
        return
    text = f"surfhead {name}: loading PyTorch"
    if on_terminal(sys.stderr):
        from surfhead.terminal.bars import waiting

        waiting(text)
    else:
        print(f"{text} ...", file=sys.stderr, flush=True)


def terminal_width() -> int:
    """Columns of the terminal, as $COLUMNS or the terminal itself says."""
    return shutil.get_terminal_size().columns


def narrow_help(command: Any, ctx: Any, width: int) -> Iterator[str]:
    """The lines of a command's help, no line longer than ``width``: a name, and below it what it is about."""
    room = max(width - 1, 20)

    def folded(text: str, indent: str) -> Iterator[str]:
        yield from textwrap.wrap(
            " ".join(text.split()),
            room,
            initial_indent=indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )

    yield ""
    yield from folded(f"Usage: {ctx.command_path} {' '.join(command.collect_usage_pieces(ctx))}", " ")
    yield ""
    for paragraph in (command.help or "").split("\n\n"):
        yield from folded(paragraph, " ")
    sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    for parameter in command.get_params(ctx):
        if getattr(parameter, "hidden", False):
            continue
        option = parameter.param_type_name == "option"
        named = getattr(parameter, "metavar", None) or parameter.name or ""
        record = (parameter.get_help_record(ctx) if option else None) or (named, "")
        names, about = record[0], record[1] or getattr(parameter, "help", "") or ""
        sections["Options" if option else "Arguments"].append((names, about))
    if isinstance(command, TyperGroup):
        known = {name: command.get_command(ctx, name) for name in command.list_commands(ctx)}
        sections["Commands"] = [
            (name, found.get_short_help_str(limit=200)) for name, found in known.items() if found is not None
        ]
    for title, rows in sections.items():
        if rows:
            yield ""
            yield f" {title}:"
        for name, about in rows:
            yield from folded(name, "  ")
            yield from folded(about, "      ")


def _names(mark: re.Match[str]) -> str:
    return ", ".join(registered(mark[1], auto=mark[2] is not None))

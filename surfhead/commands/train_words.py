"""The words of `surfhead train`: foreign ones translated, and all of them in the order they were given."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from typing import Any

import typer

from surfhead.commands.command import Command, with_new_names
from surfhead.commands.familiar_flags import translate

ORDER, NOTES = "surfhead.order", "surfhead.notes"


class TrainCommand(Command):
    """Takes familiar flags, and keeps the order of its words."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Translate foreign words, and note in which order options stand."""
        own: dict[str, bool] = {}
        for parameter in self.get_params(ctx):
            if parameter.param_type_name == "option":
                own |= dict.fromkeys(parameter.opts, not getattr(parameter, "is_flag", False))
        translation = translate(with_new_names(ctx, args), own)
        order = self.make_parser(ctx).parse_args(args=list(translation.words))[2]
        ctx.meta[ORDER] = [parameter.name for parameter in order]
        ctx.meta[NOTES] = translation.notes
        return super().parse_args(ctx, translation.words)


def notes_of(context: typer.Context) -> list[str]:
    """What the user of the command line should know about its familiar flags."""
    return list(context.meta.get(NOTES, ()))


def in_order(context: typer.Context) -> list[tuple[str, Any]]:
    """The parameters that were given, with their values, in order; a repeatable one once each time."""
    left: dict[str, Iterator[Any]] = {
        name: iter(value) if isinstance(value, (list, tuple)) else repeat(value)
        for name, value in context.params.items()
        if value is not None  # the parser also lists an argument that is not there
    }
    return [(name, next(left[name])) for name in context.meta.get(ORDER, ()) if name in left]

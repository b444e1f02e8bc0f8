"""Commands that are imported when they are asked for: who lists components waits for no other command."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import typer

from surfhead.commands.command import Command


class CommandsOnDemand(MutableMapping[str, Any]):
    """Commands by name, each made when it is first asked for.

    Args:
        homes: ``module:attribute`` of each below ``surfhead.commands``: a function, which becomes a command,
            or a ``typer.Typer``, which becomes a group.
        classes: ``module:attribute`` of the classes of commands, where they are not ``Command``.
        settings: of a command's context, by its name.
    """

    def __init__(
        self, homes: dict[str, str], classes: dict[str, str], settings: dict[str, dict[str, Any]]
    ) -> None:
        self.homes, self.classes, self.settings = homes, classes, settings
        self.made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        """The command of this name. Raises KeyError."""
        if name not in self.made:
            found = _imported(self.homes[name])
            if isinstance(found, typer.Typer):
                command = typer.main.get_group(found)
                command.name = name
            else:
                command = self._command(name, found)
            self.made[name] = command
        return self.made[name]

    def _command(self, name: str, function: Callable[..., None]) -> Any:
        app = typer.Typer(add_completion=False)
        cls = _imported(self.classes[name]) if name in self.classes else Command
        app.command(name, cls=cls, context_settings=self.settings.get(name))(function)
        return typer.main.get_command(app)

    def __setitem__(self, name: str, command: Any) -> None:
        self.made[name] = command

    def __delitem__(self, name: str) -> None:
        del self.made[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self.homes, **self.made})

    def __len__(self) -> int:
        return len({**self.homes, **self.made})


def _imported(home: str) -> Any:
    module, _, attribute = home.partition(":")
    return getattr(importlib.import_module(f"surfhead.commands.{module}"), attribute)

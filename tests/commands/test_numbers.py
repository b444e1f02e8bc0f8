"""No number of the command line may ask for work without an end."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import pytest
from typer.main import get_command

from surfhead import cli


def numbers_of_commands() -> list[tuple[str, str]]:
    """Every option that takes a number, with the words of its command."""
    found = []

    def look(command: Any, words: tuple[str, ...]) -> None:
        context = command.make_context("surfhead", [], resilient_parsing=True)
        for name in command.list_commands(context) if hasattr(command, "list_commands") else ():
            look(command.get_command(context, name), (*words, name))
        kinds = get_type_hints(command.callback)
        for parameter in command.params:
            kind = kinds.get(parameter.name)
            if parameter.opts[0].startswith("-") and {kind, *get_args(kind)} & {int, float}:
                found.append((" ".join(words), parameter.opts[0]))

    look(get_command(cli.app), ())
    return found


def test_no_number_of_any_command_is_without_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row for row in numbers_of_commands() if row[1] != "--debug"]
    assert {("mesh", "--smooth"), ("reenact", "--smooth"), ("data check", "--limit")} <= set(rows)
    for words, option in rows:
        needed = [] if words in ("train", "data check") else ["x"]
        assert cli.main([*words.split(), *needed, f"{option}={'9' * 400}"]) == 2
        said = capsys.readouterr().err.splitlines()
        assert said[-1] == f"Mend {option}.", (words, option, said)

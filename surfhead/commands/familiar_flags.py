"""Foreign words of a command line, those of GaussianAvatars and SurFhead, into own words of `surfhead train`.

Only spelling is translated: a foreign flag becomes ``--set`` or the own option that ``flag_table`` names for
it, at its place in the line, and own options lose their underscores. What the words mean together is for the
parser of the command line and the command.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from surfhead.commands.flag_table import ANY, DATA, TABLE, Flag
from surfhead.core.errors import OptionError

COUNT = re.compile(r"-?\d+")
COUNTS = re.compile(r"-?\d+(,-?\d+)*")
CHOOSERS = ("--deformer", "--preset", "--config")


@dataclass(frozen=True)
class Translation:
    """A command line in own words, and what its user should know."""

    words: list[str]
    notes: list[str]


def plain(name: str) -> str:
    """A flag's name for comparison: underscores and dashes are equal."""
    return name.replace("_", "-")


KNOWN = {plain(name): flag for flag in TABLE for name in flag.names}


@dataclass
class _Line:
    """A command line as it is read: pieces in order, each finished words or a flag with its values."""

    own: Mapping[str, bool]
    words: list[str]
    pieces: list[list[str] | tuple[str, Flag, list[str]]] = field(default_factory=list)
    chosen: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def read(self) -> None:
        """Take all words."""
        while self.words:
            word = self.words.pop(0)
            if word == "--":
                self.pieces.append([word, *self.words])
                return
            if not word.startswith("-") or COUNT.fullmatch(word):
                self.pieces.append([word])
            else:
                self._option(word)

    def _option(self, word: str) -> None:
        name, equals, value = word.partition("=")
        if plain(name) in self.own:
            self.chosen.add(plain(name))
            follows = self.own[plain(name)] and not equals and self.words
            self.pieces.append([plain(name) + equals + value, *([self.words.pop(0)] if follows else [])])
            return
        flag = KNOWN.get(plain(name))
        if flag is None and not name.startswith("--") and (flag := KNOWN.get(word[:2])):
            name, equals, value = word[:2], "=", word[2:].removeprefix("=")
        if flag is None:
            self.pieces.append([word])
            return
        self.chosen.update(map(plain, flag.names))
        self.pieces.append((name, flag, self._values(name, flag, [value] if equals else [])))

    def _values(self, name: str, flag: Flag, values: list[str]) -> list[str]:
        """A flag's values: those after ``=``, and the words that follow. Raises OptionError."""
        if flag.takes == "nothing":
            if values:
                raise _misused(name, f'was given "{values[0]}".', "It takes no value.")
            return []
        if flag.takes == "value":
            follows = self.words and not self.words[0].startswith("--")
            if not values and not follows:
                if flag.advice:
                    return []  # refused, with a value or without
                raise _misused(name, "has no value.", "Expected one.")
            return values or [self.words.pop(0)]
        while self.words and COUNTS.fullmatch(self.words[0]):
            values.append(self.words.pop(0))
        values = [count for text in values for count in re.split(r"[\s,]+", text) if count]
        if not values or not all(COUNT.fullmatch(count) for count in values):
            raise _misused(name, "has no image counts.", "Expected whole numbers, such as 7000 30000.")
        return values

    def translated(self) -> list[str]:
        """The same command line in own words."""
        made: list[str] = []
        last = {piece[1].names: index for index, piece in enumerate(self.pieces) if isinstance(piece, tuple)}
        for index, piece in enumerate(self.pieces):
            if isinstance(piece, list):
                made += piece
            elif last[piece[1].names] == index and not self.chosen & set(map(plain, piece[1].yields_to)):
                made += self._own_words(*piece)
        if plain("--source_path") in self.chosen and not self.chosen & {"--preset", "--config"}:
            for flag in TABLE:
                if self.chosen & set(map(plain, flag.names)):
                    made = [*flag.present, *made]
        rigless = not any(re.match(r"deformer(\.name)?\s*=", word) for word in made)
        if plain("--source_path") in self.chosen and rigless and not self.chosen & set(CHOOSERS):
            for flag in TABLE:
                if not self.chosen & set(map(plain, flag.names)):
                    made = [*flag.absent, *made]
        return made

    def _own_words(self, name: str, flag: Flag, values: list[str]) -> list[str]:
        """What to write instead of one flag. Raises OptionError for one that is refused or misused."""
        given = " ".join((name, *values))
        if flag.idle == (ANY,) or any(_equal(text, idle) for text in values for idle in flag.idle):
            self.notes.append(f'"{given}" changes nothing: {flag.sentence}')
            return []
        if flag.advice:
            raise OptionError(f'"{name}" is not accepted here.', flag.sentence, flag.advice)
        missing = _missing(flag.needs)
        if missing:
            self.notes.append(f'"{given}" is left out: {missing}')
            return []
        if flag.takes == "counts":
            text = _toml([int(count) for count in values if int(count) >= 0])
        else:
            text = values[0] if values else ""
        if flag.option == DATA:
            return [text]
        if flag.option:
            return [f"{flag.option}={text}" if values else flag.option]
        try:
            return [
                word for key, value in flag.sets.items() for word in ("--set", _setting(key, value, text))
            ]
        except ValueError as error:
            raise _misused(name, f'was given "{text}".', f"{str(error).capitalize()}.") from error


def translate(arguments: Sequence[str], own: Mapping[str, bool]) -> Translation:
    """The words after `surfhead train` with every familiar flag translated; what is unknown stays.

    Args:
        arguments: the words.
        own: the command's own options, and whether each takes a value.

    Raises:
        OptionError: a flag is refused, or its values are wrong.
    """
    line = _Line(own, list(arguments))
    line.read()
    return Translation(line.translated(), line.notes)


def _setting(key: str, value: Any, text: str) -> str:
    """``key=value`` for ``--set``: a function's result for the text, or a constant."""
    if not callable(value):
        return f"{key}={_toml(value)}"
    made = value(text)
    return f"{key}={made if made == text else _toml(made)}"


def _equal(text: str, idle: str) -> bool:
    try:
        return float(text) == float(idle)
    except ValueError:
        return text == idle


def _missing(needs: tuple[str, str] | None) -> str | None:
    """Why a component that a flag needs cannot run here, or None."""
    if needs is None:
        return None
    from surfhead.core.registry import registry

    return registry().get(*needs).available()


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _misused(name: str, what: str, expected: str) -> OptionError:
    return OptionError(f'"{name}" {what}', expected, "See `surfhead flags` for every familiar flag.")

"""Flags that users of GaussianAvatars and SurFhead know, translated into this project's settings.

What a component's options and weights are called there is declared with the component (``option(...,
flag=...)`` and its class attribute ``flags``); what concerns the run itself is in ``run_flags``. Nothing here
imports a component before a word of the command line needs it.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from surfhead.core.errors import OptionError, SurfheadError

COUNT = re.compile(r"-?\d+")
COUNTS = re.compile(r"-?\d+(,-?\d+)*")
DATA = "DATA"
# the tables of a run that hold one component each, and those that hold many by name
TABLES = {"dataset": "data", "deformer": "deformer", "appearance": "appearance", "rasterizer": "rasterizer"}
TABLES |= {"rig": "rig", "densifier": "densifier"}
MANY = {"regularizer": "regularizers", "observer": "observers"}
NAMES = {f"--{kind}": f"{kind}.name" for kind in ("deformer", "appearance", "rasterizer", "rig")}
NUMBERS = {"--iterations": "iterations", "--batch-size": "batch_size", "--seed": "seed"}
CHOOSERS = ("--deformer", "--preset", "--config")


@dataclass(frozen=True)
class Flag:
    """One flag, and what it does here.

    Attributes:
        names: its spellings, such as ``("--rm_bf", "--rm_bg")``; ``_`` and ``-`` are equal.
        default: its default there, for the table.
        sets: the settings it changes, such as ``regularizers.l1.weight``.
        takes: a ``value``, several ``counts`` (whole numbers), or ``nothing``.
        value: what a flag that takes nothing sets.
        convert: the setting's value of the text given; by default the text itself.
        option: an own option of `surfhead train` that gets the value instead; ``DATA`` is its argument.
        meaning: words for the table beyond the names of the settings.
        refusal: why it is not accepted, and what to use instead.
        yields_to: flags beside which it means nothing more.
        absent: own options a command line means that names its data with ``--source_path``, does not have
            this flag and chooses no deformer.
    """

    names: tuple[str, ...]
    default: str = ""
    sets: tuple[str, ...] = ()
    takes: Literal["value", "counts", "nothing"] = "value"
    value: Any = None
    convert: Callable[[str], Any] | None = None
    option: str = ""
    meaning: str = ""
    refusal: tuple[str, str] | None = None
    yields_to: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()

    def here(self) -> str:
        """What it does here, as a line of the table."""
        if self.refusal is not None:
            return "refused: " + " ".join(self.refusal)
        value = f" = {_toml(self.value)}" if self.takes == "nothing" else ""
        parts = [f"{key}{value}" for key in self.sets]
        parts += [self.option] if self.option else []
        return "; ".join(filter(None, (", ".join(parts), self.meaning)))


def familiar_flags() -> list[Flag]:
    """Every flag: those of the run, then those of the components, in the order of `surfhead list`."""
    from surfhead.core.registry import registry
    from surfhead.core.run_flags import RUN_FLAGS

    found: list[Flag] = []
    for row in registry().registrations():
        try:
            cls: Any = registry().get(row.kind, row.name)
        except SurfheadError:
            continue  # a broken plugin is told of by `surfhead list`
        found += [*cls.flags, *_of_options(cls)]
    known = {plain(name) for flag in found for name in flag.names}
    # the core refuses what no component offers
    own = [flag for flag in RUN_FLAGS if flag.refusal is None or not known & set(map(plain, flag.names))]
    return list(dict.fromkeys([*own, *found]))


def _of_options(cls: Any) -> list[Flag]:
    """The flags among the fields of a component's ``Options``."""
    if cls.kind in MANY:
        table = f"{MANY[cls.kind]}.{cls.name}"
    elif cls.kind in TABLES:
        table = TABLES[cls.kind]
    else:
        return []
    flags = []
    for item in dataclasses.fields(cls.Options):
        names = item.metadata.get("flag", ())
        if names:
            switch = item.metadata.get("switch", True if isinstance(item.default, bool) else None)
            flags.append(
                Flag(
                    (names,) if isinstance(names, str) else tuple(names),
                    item.metadata.get("there", ""),
                    (f"{table}.{item.name}",),
                    takes="value" if switch is None else "nothing",
                    value=switch,
                )
            )
    return flags


def plain(name: str) -> str:
    """A flag's name for comparison: underscores and dashes are equal."""
    return name.replace("_", "-")


@dataclass
class _Line:
    """A command line as it is read: pieces in order, each finished words or a flag with its values."""

    own: Mapping[str, bool]
    words: list[str]
    pieces: list[list[str] | tuple[str, list[Flag], list[str]]] = field(default_factory=list)
    chosen: set[str] = field(default_factory=set)
    table: dict[str, list[Flag]] | None = None

    def flags(self, name: str) -> list[Flag]:
        """The declarations of a flag; none when nobody knows it."""
        if self.table is None:
            self.table = {}
            for flag in familiar_flags():
                for spelling in flag.names:
                    self.table.setdefault(plain(spelling), []).append(flag)
        return self.table.get(plain(name), [])

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
            given = value if equals else self.words.pop(0) if follows else None
            self.pieces.append(_own_option(plain(name), given))
            return
        flags = self.flags(name)
        if not flags and not name.startswith("--") and (flags := self.flags(word[:2])):
            name, equals, value = word[:2], "=", word[2:].removeprefix("=")
        if not flags:
            self.pieces.append([word])
            return
        self.chosen.update(plain(spelling) for flag in flags for spelling in flag.names)
        self.pieces.append((name, flags, self._values(name, flags[0], [value] if equals else [])))

    def _values(self, name: str, flag: Flag, values: list[str]) -> list[str]:
        """A flag's values: those after ``=``, and the words that follow. Raises OptionError."""
        if flag.refusal is not None:
            return values
        if flag.takes == "nothing":
            if values:
                raise _misused(name, f'was given "{values[0]}".', "It takes no value.")
            return []
        if flag.takes == "value":
            follows = self.words and not self.words[0].startswith("--")
            if not values and not follows:
                raise _misused(name, "has no value.", "Expected one.")
            return values or [self.words.pop(0)]
        while self.words and COUNTS.fullmatch(self.words[0]):
            values.append(self.words.pop(0))
        values = [count for text in values for count in re.split(r"[\s,]+", text) if count]
        if not values or not all(COUNT.fullmatch(count) for count in values):
            raise _misused(name, "has no image counts.", "Expected whole numbers, such as 7000 30000.")
        return values

    def translated(self) -> list[str]:
        """The same command line in this project's options."""
        made: list[str] = []
        for piece in self.pieces:
            if isinstance(piece, list):
                made += piece
                continue
            name, flags, values = piece
            for flag in flags:
                if not self.chosen & set(map(plain, flag.yields_to)):
                    made += _words_for(name, flag, values)
        rigless = not any(word.startswith("deformer.name=") for word in made)
        if plain("--source_path") in self.chosen and rigless and not self.chosen & set(CHOOSERS):
            for flag in familiar_flags():
                if not self.chosen & set(map(plain, flag.names)):
                    made += flag.absent
        return made


def translate(arguments: Sequence[str], own: Mapping[str, bool]) -> list[str]:
    """The words after `surfhead train` with every familiar flag translated; what is unknown stays.

    Own options that are settings become ``--set``, too, so that of two words for one setting the later wins.

    Args:
        arguments: the words.
        own: the command's own options, and whether each takes a value.

    Raises:
        OptionError: a flag is refused, or its values are wrong.
    """
    line = _Line(own, list(arguments))
    line.read()
    return line.translated()


def _own_option(name: str, value: str | None) -> list[str]:
    if name == "--eval":
        return _setting("hold_out", "true")
    if value is None:
        return [name]
    if name in NAMES or name == "--device":
        return _setting(NAMES.get(name, "device"), _toml(value))
    if name in NUMBERS and COUNT.fullmatch(value):
        return _setting(NUMBERS[name], value)
    term, _, weight = value.partition("=")
    if name == "--regularizer" and re.fullmatch(r"[\d.eE+-]+", weight):
        return _setting(f"regularizers.{term.strip()}.weight", weight)
    return [f"{name}={value}" if name == "--debug" else name, *([] if name == "--debug" else [value])]


def _words_for(name: str, flag: Flag, values: list[str]) -> list[str]:
    """What to write instead of one flag. Raises OptionError for one that is refused or misused."""
    if flag.refusal is not None:
        raise OptionError(f'"{name}" is not accepted here.', *flag.refusal)
    if flag.takes == "nothing":
        text = _toml(flag.value)
    elif flag.takes == "counts":
        text = _toml([int(count) for count in values if int(count) >= 0])
    else:
        text = values[0]
    if flag.convert is not None:
        try:
            text = _toml(flag.convert(text))
        except ValueError as error:
            raise _misused(name, f'was given "{text}".', f"{str(error).capitalize()}.") from error
    if flag.option == DATA:
        return [text]
    if flag.option:
        return [f"{flag.option}={text}"]
    return [word for key in flag.sets for word in _setting(key, text)]


def _setting(key: str, text: str) -> list[str]:
    return ["--set", f"{key}={text}"]


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _misused(name: str, what: str, expected: str) -> OptionError:
    return OptionError(f'"{name}" {what}', expected, "See `surfhead flags` for every familiar flag.")

"""Checks of every component, whatever its kind."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
import threading
import tomllib
from pathlib import Path
from typing import Any

import tomli_w

from surfhead.core.component import build_options
from surfhead.core.components import BASES, Appearance
from surfhead.core.errors import OptionError
from surfhead.core.options import as_table
from surfhead.testing.suite import EVERY_KIND, Subject, class_of, promise, require

NAME = re.compile(r"[a-z0-9]+([-_][a-z0-9]+)*")


class _OpenedFiles:
    """Files opened while it is active. An audit hook cannot be removed, so there is one for good."""

    def __init__(self) -> None:
        self.active = False
        self.installed = False
        self.thread = 0
        self.paths: list[str] = []

    def __enter__(self) -> list[str]:
        if not self.installed:
            sys.addaudithook(self._heard)
            self.installed = True
        self.paths = []
        self.thread = threading.get_ident()  # other threads may open what they like
        self.active = True
        return self.paths

    def __exit__(self, *details: object) -> None:
        self.active = False

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.active and event == "open" and threading.get_ident() == self.thread:
            self.paths.append(str(arguments[0]))


_opened = _OpenedFiles()


@promise(EVERY_KIND)
def constructible(subject: Subject) -> None:
    """It is made without arguments, opens no file then, and has a name, a summary and a kind."""
    cls = class_of(subject.source)
    require(NAME.fullmatch(cls.name) is not None, f'The name is "{cls.name}".', "Expected lower case.")
    require(
        isinstance(cls.summary, str) and cls.summary.strip() == cls.summary != "" and "\n" not in cls.summary,
        f"The summary is {cls.summary!r}.",
        "Expected one line of text.",
    )
    require(issubclass(cls, BASES[cls.kind]), f"It is no {BASES[cls.kind].__name__}.")
    cls()  # modules imported lazily are imported now
    with _opened as paths:
        cls()
    require(not paths, f"Constructing it opened {', '.join(paths)}.", "Open files when they are needed.")
    require(isinstance(subject.make(), cls), "Its example is of another class.")


@promise(EVERY_KIND)
def options_described(subject: Subject) -> None:
    """Options is a frozen dataclass whose every field has a default and a description."""
    options = class_of(subject.source).Options
    frozen = dataclasses.is_dataclass(options) and options.__dataclass_params__.frozen  # type: ignore[attr-defined]
    require(frozen, "Options is not a frozen dataclass.")
    for field in dataclasses.fields(options):
        given = (field.default, field.default_factory) != (dataclasses.MISSING, dataclasses.MISSING)
        require(given, f'Option "{field.name}" has no default.')
        text = field.metadata.get("description", "")
        require(
            bool(text.strip()), f'Option "{field.name}" has no description.', "Use option(default, text)."
        )


@promise(EVERY_KIND)
def options_round_trip(subject: Subject) -> None:
    """Options written as TOML and read again are equal, and an unknown option is an OptionError."""
    cls = class_of(subject.source)
    for options in (cls.Options(), subject.make().options):
        table = {k: str(v) if isinstance(v, Path) else v for k, v in as_table(options).items()}
        again = build_options(cls, tomllib.loads(tomli_w.dumps(table)))
        require(again == options, f"{options} became {again}.")
    try:
        build_options(cls, {"no_such_option": 1})
    except OptionError:
        return
    require(False, "An unknown option was accepted.", "Expected an OptionError.")


@promise(EVERY_KIND)
def available_answers(subject: Subject) -> None:
    """``available`` gives None, or the reason why it cannot run here in a sentence."""
    reason = class_of(subject.source).available()
    require(reason is None or (isinstance(reason, str) and bool(reason.strip())), f"It gave {reason!r}.")


@promise(EVERY_KIND)
def signatures(subject: Subject) -> None:
    """Every method it overrides takes the parameters of its base by the same names, or any by name."""
    cls = class_of(subject.source)
    base = BASES[cls.kind]
    for name in dir(base):
        ours, theirs = getattr(cls, name), getattr(base, name)
        if (name.startswith("_") and name != "__call__") or not callable(theirs) or name == "Options":
            continue
        wanted, given = inspect.signature(theirs).parameters, inspect.signature(ours).parameters
        spared = {"surface"} if issubclass(cls, Appearance) and not cls.wants.any else set()
        if any(item.kind is item.VAR_KEYWORD for item in given.values()):
            spared |= {key for key, item in wanted.items() if item.kind is item.KEYWORD_ONLY}
        missing = [key for key in wanted if key not in given and key not in spared]
        require(not missing, f"{name}{inspect.signature(ours)} lacks {', '.join(missing)}.")
        extra = [
            key
            for key, item in given.items()
            if key not in wanted and item.default is item.empty and item.kind is not item.VAR_KEYWORD
        ]
        require(not extra, f"{name} has parameters without defaults that nobody passes: {', '.join(extra)}.")

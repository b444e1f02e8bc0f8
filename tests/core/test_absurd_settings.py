"""Values out of any sense for every declared option of every component, and for every setting of a run.

Each is refused in three lines or, where it only means never or always, taken; what is taken works.
"""

from __future__ import annotations

import dataclasses
import resource
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from surfhead.core.components import BASES
from surfhead.core.errors import SurfheadError
from surfhead.core.options import parse_setting
from surfhead.core.registry import registry
from surfhead.runs.configuration import configure
from surfhead.runs.layers import nested
from tests.commands.conftest import Surfhead, surfhead, train_tiny

__all__ = ["surfhead", "train_tiny"]

HUGE = ("1e308", "99999999999999999999", "1000000000")
WORDS = (
    *HUGE,
    "-1e308",
    "inf",
    "-inf",
    "nan",
    "-1",
    "0",
    "word",
    '""',
    "[]",
    "[1e308, -1]",
    "{}",
    "true",
    "\x00",
)
NO_NUMBERS = ("nan", "-inf", "-1e308")  # no option means anything by these
MOST = 1 << 29  # bytes that all of them together may take


def options_of(kind: str) -> Iterator[tuple[str, str]]:
    """The built-in components of a kind with their options."""
    for row in registry().registrations(kind):
        cls: Any = registry().get(kind, row.name)
        yield from ((row.name, field.name) for field in dataclasses.fields(cls.Options))


def attempt(what: str, action: Callable[[], object]) -> bool:
    """Whether something goes well; it may be refused in two or three lines, and nothing else."""
    try:
        action()
    except SurfheadError as error:
        lines = len(str(error).splitlines())
    else:
        return True
    assert 2 <= lines <= 3, what
    return False


def made(kind: str, name: str, option: str, word: str) -> Any:
    """A component with one option as it is written on the command line."""
    return registry().create(kind, name, {option: parse_setting(f"{kind}.{option}={word}")[1]})


def memory() -> int:
    """Most bytes that this process had in memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("kind", sorted(BASES))
def test_every_option_of_every_component(kind: str) -> None:
    before, taken = memory(), set()
    for name, option in options_of(kind):
        for word in WORDS:
            what = f"{name}.{option}={word}"
            if attempt(what, partial(made, kind, name, option, word)):
                taken.add(word)
    assert memory() - before < MOST
    assert not taken & {*NO_NUMBERS}


def test_every_setting_of_a_run() -> None:
    def leaves(table: dict[str, Any], ahead: str = "") -> Iterator[str]:
        for key, value in table.items():
            if isinstance(value, dict) and value:
                yield from leaves(value, f"{ahead}{key}.")
            else:
                yield ahead + key

    keys = list(leaves(dataclasses.asdict(configure(preset="fast", settings={}))))
    assert len(keys) > 100
    for place, key in enumerate(keys):
        for word in WORDS[place % 4 :: 4]:
            settings = nested([parse_setting(f"{key}={word}")])
            attempt(f"{key}={word}", partial(configure, preset="fast", settings=settings))


def taken_of(kind: str, name: str) -> list[tuple[str, str]]:
    """Options that take a huge value, with the largest."""
    found = {}
    for component, option in options_of(kind):
        for word in HUGE * (component == name):
            if attempt(option, partial(made, kind, name, option, word)):
                found.setdefault(option, word)
    return list(found.items())


@pytest.mark.parametrize("name", ["blender", "colmap", "transforms", "vhap"])
def test_a_data_set_is_opened_with_what_is_taken(name: str, tmp_path: Path) -> None:
    cls: Any = registry().get("dataset", name)
    cls.example(tmp_path)
    for option, word in taken_of("dataset", name):
        reader = made("dataset", name, option, word)
        attempt(f"{option}={word}", lambda reader=reader: reader.open(tmp_path).frame(0))


def test_a_run_densifies_with_what_is_taken(train_tiny: Surfhead) -> None:
    found = taken_of("densifier", "adaptive")
    assert len(found) > 5
    for place, (option, word) in enumerate(found):
        now = [
            f"--set=densifier.{name}={value}"
            for name, value in (("start", 0), ("every", 1), ("threshold", 0))
        ]
        said = train_tiny(
            "--quiet",
            "--rasterizer",
            "auto",
            *now,
            f"--set=densifier.{option}={word}",
            "--out",
            f"run{place}",
        )
        assert said.code in (0, 2), said.err
        if said.code == 2:
            assert 2 <= len(said.err.splitlines()) <= 3, said.err

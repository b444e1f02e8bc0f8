"""Option values from outside become typed, frozen options, or errors that say what was expected."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from surfhead.core.components import Observer
from surfhead.core.errors import OptionError
from surfhead.core.options import as_table, build, check_options, default_of, option, parse_setting, type_name


@dataclass(frozen=True)
class Options:
    """One of each type."""

    count: int = option(3, "A number.")
    rate: float = option(0.5, "A rate.")
    on: bool = option(True, "A switch.")
    mode: Literal["a", "b"] = option("a", "A choice.")
    path: Path = option(Path(), "A file.")
    region: str | None = option(None, "A region.")
    limits: tuple[float, float] = option((0.0, 1.0), "A range.")
    table: dict[str, int] = option({"x": 1}, "A table.")

    def __post_init__(self) -> None:
        if self.count < 0:
            raise OptionError("count is negative")


@pytest.mark.parametrize(
    ("key", "given", "made"),
    [
        ("count", "7", 7),
        ("rate", 1, 1.0),
        ("rate", "2e-3", 0.002),
        ("on", "false", False),
        ("mode", "b", "b"),
        ("path", "some/file", Path("some/file")),
        ("region", "eyeballs", "eyeballs"),
        ("limits", [1, 2], (1.0, 2.0)),
        ("table", {"y": "4"}, {"y": 4}),
    ],
)
def test_values_are_converted_to_the_declared_types(key: str, given: Any, made: Any) -> None:
    value = getattr(build(Options, {key: given}, "it"), key)
    assert value == made
    assert type(value) is type(made)


@pytest.mark.parametrize(
    ("key", "given", "lines"),
    [
        ("count", "three", ["Option \"count\" of it is 'three'", "Expected int; the default is 3."]),
        ("count", 1.5, ['Option "count" of it is 1.5', "Expected int"]),
        ("mode", "c", ["'a' or 'b'", "Expected a | b; the default is 'a'."]),
        ("limits", [1], ["limits", "tuple[float, float]"]),
        (
            "rate",
            "nan",
            ['Option "rate" of it is not a number (NaN).', "Expected float; the default is 0.5."],
        ),
        ("on", "perhaps", ["on", "Expected bool"]),
    ],
)
def test_wrong_types_are_option_errors(key: str, given: Any, lines: list[str]) -> None:
    with pytest.raises(OptionError) as caught:
        build(Options, {key: given}, "it")
    said = str(caught.value).splitlines()
    assert len(said) == 3
    for line in lines:
        assert line in str(caught.value)


def test_an_unknown_option_gets_a_suggestion() -> None:
    with pytest.raises(OptionError) as caught:
        build(Options, {"cuont": 1}, 'deformer "mine"')
    assert str(caught.value).splitlines() == [
        'Unknown option of deformer "mine" "cuont". Did you mean "count"?',
        "Known: count, limits, mode, on, path, rate, region, table.",
        "See `surfhead show deformer mine`.",
    ]


def test_the_options_own_check_runs() -> None:
    with pytest.raises(OptionError, match="count is negative"):
        build(Options, {"count": -1}, "it")


def test_a_table_has_no_none_and_defaults_are_not_shared() -> None:
    assert "region" not in as_table(Options())
    assert Options().table is not Options().table
    fields = Options.__dataclass_fields__
    assert default_of(fields["count"]) == 3
    assert default_of(fields["table"]) == {"x": 1}


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("a=1", ("a", 1)),
        ("a.b = 1.5", ("a.b", 1.5)),
        ("a=true", ("a", True)),
        ("a=paper", ("a", "paper")),
        ('a="1"', ("a", "1")),
        ("a=[1, 2]", ("a", [1, 2])),
        ("a={x = 1}", ("a", {"x": 1})),
        ("a=", ("a", "")),
        ("a=b=c", ("a", "b=c")),
    ],
)
def test_settings_of_the_command_line_are_toml_or_bare_words(text: str, made: tuple[str, Any]) -> None:
    assert parse_setting(text) == made


@pytest.mark.parametrize("text", ["a", "=1", ""])
def test_what_is_no_setting_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="is not a setting"):
        parse_setting(text)


def test_types_are_named_as_users_read_them() -> None:
    assert type_name(int) == "int"
    assert type_name(Literal["x", 2]) == "x | 2"
    assert type_name(str | None) == "str | None"


@dataclass(frozen=True)
class Bounded:
    """One of each bound."""

    share: float = option(0.5, "A share.", low=0, high=1)
    part: float = option(0.5, "A part.", above=0, below=1)
    size: int = option(4, "A size.", low=1)
    colour: tuple[float, float, float] | None = option(None, "A colour.", low=0, high=1)
    mode: Literal["a", "b"] = option("a", "A choice.")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("share", -1e-9, "0 to 1"),
        ("share", float("inf"), "0 to 1"),
        ("share", 1.5, "0 to 1"),
        ("part", 0.0, "more than 0, less than 1"),
        ("part", 1.0, "more than 0, less than 1"),
        ("size", 0, "at least 1"),
        ("colour", (0.0, 1.1, 0.0), "0 to 1"),
        ("mode", "c", "one of a, b"),
    ],
)
def test_what_is_out_of_bounds_is_named_with_its_bounds(name: str, value: Any, expected: str) -> None:
    made = Bounded(**{name: value})
    with pytest.raises(OptionError) as caught:
        check_options(made, "it")
    assert caught.value.what == f'Option "{name}" of it is {value!r}.'
    assert f"Expected {expected}; the default is" in caught.value.exists
    if name != "mode":  # pydantic refuses the word before
        with pytest.raises(OptionError, match="Expected " + expected):
            build(Bounded, {name: value}, "it")


def test_nan_is_out_of_any_bounds() -> None:
    with pytest.raises(OptionError, match="0 to 1"):
        check_options(Bounded(share=float("nan")), "it")


@pytest.mark.parametrize(
    ("name", "value"), [("share", 0), ("share", 1), ("part", 0.1), ("colour", (0, 1, 0))]
)
def test_bounds_themselves_are_kept_to(name: str, value: Any) -> None:
    check_options(Bounded(**{name: value}), "it")
    check_options(Bounded(), "it")


def test_a_component_checks_its_options_however_they_were_made() -> None:
    class Mine(Observer):
        name = "mine"
        summary = "Mine."
        Options = Bounded

    assert Mine(Bounded(size=1)).options == Bounded(size=1)
    with pytest.raises(OptionError, match='Option "size" of observer "mine" is 0') as caught:
        Mine(Bounded(size=0))
    assert caught.value.remedy == "Mend --set observers.mine.size; see `surfhead show observer mine`."

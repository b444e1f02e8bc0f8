"""Option values from outside (TOML, command line, API) into typed, frozen Options dataclasses."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

import pydantic

from surfhead.core.errors import OptionError, unknown_name

if TYPE_CHECKING:
    from surfhead.core.components import Component


def build(cls: type[Any], values: Mapping[str, Any], where: str) -> Any:
    """Make the dataclass ``cls`` from ``values``; unknown keys and wrong types are OptionErrors.

    Args:
        cls: a dataclass.
        values: by field name; strings are converted where the type allows it.
        where: how errors call it, such as ``deformer "jbs"``.
    """
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
    hints = get_type_hints(cls)
    made: dict[str, Any] = {}
    for key, value in values.items():
        if key not in fields:
            shown = where.replace('"', "") if '"' in where else "preset base"
            raise unknown_name(
                f"option of {where}", key, fields, f"See `surfhead show {shown}`.", OptionError
            )
        try:
            made[key] = pydantic.TypeAdapter(hints[key]).validate_python(value)
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            raise OptionError(
                f'Option "{key}" of {where} is {value!r}: {first["msg"]}.',
                f"Expected {type_name(hints[key])}; the default is {default_of(fields[key])!r}.",
                "Set it with --set, or in the configuration file, to a value of that type.",
            ) from error
        if isinstance(made[key], float) and math.isnan(made[key]):
            raise OptionError(
                f'Option "{key}" of {where} is not a number (NaN).',
                f"Expected {type_name(hints[key])}; the default is {default_of(fields[key])!r}.",
                "Set it to a number.",
            )
    return cls(**made)


def build_options(cls: type[Component], values: Mapping[str, Any]) -> Any:
    """Make a component class's Options."""
    return build(cls.Options, values, f'{cls.kind} "{cls.name}"')


def default_of(field: dataclasses.Field[Any]) -> Any:
    """A dataclass field's default value."""
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None


def type_name(hint: Any) -> str:
    """A type as users read it."""
    if get_origin(hint) is Literal:
        return " | ".join(map(str, get_args(hint)))
    return getattr(hint, "__name__", None) if isinstance(hint, type) else str(hint).replace("typing.", "")  # type: ignore[return-value]


def as_table(options: Any) -> dict[str, Any]:
    """An Options instance as a TOML table; None is left out because TOML has no null."""
    return {k: v for k, v in dataclasses.asdict(options).items() if v is not None}


def parse_setting(text: str) -> tuple[str, Any]:
    """``a.b=value`` of the command line into its key and its TOML value (bare words are strings)."""
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise OptionError(
            f'"{text}" is not a setting.',
            "Expected key=value.",
            "For example: --set deformer.rotation_blend=paper",
        )
    try:
        return key, tomllib.loads(f"value = {value.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value.strip()

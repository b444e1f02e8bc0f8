"""Options: how a field is declared, and values from TOML or the command line made into typed ones."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Protocol, TypeVar, cast, get_args, get_origin, get_type_hints

from surfhead.core.errors import OptionError, nearest, unknown_name

Default = TypeVar("Default")
COMPARISONS = {"low": float.__ge__, "above": float.__gt__, "high": float.__le__, "below": float.__lt__}
_hints: Callable[[Any], dict[str, Any]] = functools.cache(get_type_hints)  # evaluates every annotation
WORDS = {"low": "at least", "above": "more than", "high": "at most", "below": "less than"}


class Values(Protocol):
    """An instance of a dataclass: some component's ``Options``."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


def option(
    default: Default,
    description: str,
    *,
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
    below: float | None = None,
    **metadata: Any,
) -> Default:
    """A field of an ``Options`` dataclass with its default and its description.

    Args:
        default: the default; a ``dict``, ``list`` or ``set`` is copied for each instance.
        description: one sentence for `surfhead show`, with the unit and where the number is from.
        low, above: the number, or each of several, is at least ``low``, or more than ``above``.
        high, below: it is at most ``high``, or less than ``below``.
        metadata: ``live``: True lets the
            viewer change it for a trained avatar: a choice, a bool, or a number that may be lowered.
            ``of``: it is a moment, counted in images, and the default belongs to a run of so many; users may
            give a fraction of the run, too (``surfhead.core.moments``); ``least``: fewer images make no
            sense, whatever the fraction; ``end``: it may lie beyond the run; ``times``: the option that says
            how often it comes, such as ``degree``.
    """
    bounds = {"low": low, "above": above, "high": high, "below": below}
    metadata = {
        "description": description,
        "bounds": {key: float(value) for key, value in bounds.items() if value is not None},
        **metadata,
    }
    start: dict[str, Any] = {"default": default}
    if isinstance(default, (dict, list, set)):
        start = {"default_factory": lambda: type(default)(default)}
    return cast(Default, dataclasses.field(**start, metadata=metadata))  # dataclasses take it for a default


def bounds_of(field: dataclasses.Field[Any]) -> str:
    """What a number must be, in words; empty where anything goes."""
    bounds = field.metadata.get("bounds", {})
    if bounds.keys() == {"low", "high"}:
        return f"{bounds['low']:g} to {bounds['high']:g}"
    return ", ".join(f"{WORDS[key]} {bounds[key]:g}" for key in COMPARISONS if key in bounds)


def check_options(options: Values, where: str) -> None:
    """Raise OptionError where a value is none of its type's words or beyond its declared bounds.

    Args:
        options: a dataclass.
        where: how errors call it, such as ``deformer "jbs"``.
    """
    for field in dataclasses.fields(options):
        value, bounds = getattr(options, field.name), field.metadata.get("bounds", {})
        words = _words(type(options), field.name) if isinstance(value, str) else ()
        numbers = value if isinstance(value, (tuple, list)) else () if value is None else (value,)
        if words and value not in words:
            expected = f"one of {', '.join(words)}"
        elif all(COMPARISONS[key](float(n), bound) for key, bound in bounds.items() for n in numbers):
            continue
        else:
            expected = bounds_of(field)
        raise OptionError(
            f'Option "{field.name}" of {where} is {value!r}.',
            f"Expected {expected}; the default is {default_of(field)!r}.",
            _remedy(where, field.name),
        )


def _remedy(where: str, key: str) -> str:
    """How to set an option of a component that errors call so."""
    if '"' not in where:
        section = f"{where[1:-1]}." if where.startswith("[") else ""
        return f"Mend --set {section}{key}; see `surfhead show preset base`."
    kind, _, name = where.replace('"', "").partition(" ")
    table = {"dataset": "data", "regularizer": f"regularizers.{name}", "observer": f"observers.{name}"}
    return f"Mend --set {table.get(kind, kind)}.{key}; see `surfhead show {kind} {name}`."


def _words(cls: type[Any], name: str) -> tuple[str, ...]:
    """The words a field of a dataclass may be, where its type lists them."""
    hint = _hints(cls)[name]
    return tuple(map(str, get_args(hint))) if get_origin(hint) is Literal else ()


def build(cls: type[Any], values: Mapping[str, Any], where: str) -> Any:
    """Make the dataclass ``cls`` from ``values``; unknown keys and wrong types are OptionErrors.

    Args:
        cls: a dataclass.
        values: by field name; strings are converted where the type allows it.
        where: how errors call it, such as ``deformer "jbs"``.
    """
    import pydantic  # 0.2 s, which declaring options need not wait for

    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
    hints = _hints(cls)
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
            guess = nearest(str(value), _words(cls, key))
            hint = f' Did you mean "{guess}"?' if guess else ""
            raise OptionError(
                f'Option "{key}" of {where} is {value!r}: {first["msg"]}.{hint}',
                f"Expected {type_name(hints[key])}; the default is {default_of(fields[key])!r}.",
                "Set it with --set, or in the configuration file, to a value of that type.",
            ) from error
        if isinstance(made[key], float) and math.isnan(made[key]):
            raise OptionError(
                f'Option "{key}" of {where} is not a number (NaN).',
                f"Expected {type_name(hints[key])}; the default is {default_of(fields[key])!r}.",
                "Set it to a number.",
            )
    options = cls(**made)
    check_options(options, where)
    return options


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


def as_table(options: Values) -> dict[str, Any]:
    """An Options instance as a TOML table; None is left out because TOML has no null."""
    return {k: v for k, v in dataclasses.asdict(options).items() if v is not None}


def parse_setting(text: str) -> tuple[str, Any]:
    """``a.b=value`` of the command line into its key and its TOML value (bare words are strings)."""
    import tomllib  # which declaring options need not wait for

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

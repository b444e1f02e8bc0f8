"""Tables of a run in which old names of settings, components and options are replaced by the present ones."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from surfhead.core.config import COMPONENTS, TRAINER_KEYS
from surfhead.core.registry import registry
from surfhead.terminal import renamed

KINDS = {"data": "dataset"}  # tables that are not called as the kind of what they name


def with_new_names(tables: Mapping[str, Any], below: Mapping[str, Any]) -> dict[str, Any]:
    """A layer of a run's configuration by the present names; whoever used an old one is told.

    Args:
        tables: the layer, such as a preset's or those of the command line.
        below: what it is laid on, which knows components that the layer gives options without a name.
    """
    registry()  # plugins that are installed say here what they have renamed
    found = dict(tables)
    for old, row in renamed.OF_SETTINGS.items():
        found = _moved(found, old, row)
    for key in COMPONENTS:
        if key in found:
            found[key] = _component(KINDS.get(key, key), found[key], below.get(key))
    for key, kind in (("regularizers", "regularizer"), ("observers", "observer")):
        if isinstance(found.get(key), Mapping):
            rows = renamed.by_present_names(found[key], partial(present_name, kind))
            found[key] = {name: _options(kind, name, row) for name, row in rows.items()}
    export = found.get("export")
    if isinstance(export, Mapping) and isinstance(export.get("format"), str):
        found["export"] = {**export, "format": present_name("format", export["format"])}
    return found


def _component(kind: str, value: Any, below: Any) -> Any:
    """A component's name, or its table."""
    if isinstance(value, str):
        return present_name(kind, value)
    if not isinstance(value, Mapping):
        return value
    said = {**(below if isinstance(below, Mapping) else {"name": below}), **value}.get("name")
    if not isinstance(said, str):
        return value  # what `auto` stands for is known later, when it is made
    name = present_name(kind, said)
    return _options(kind, name, {**value, "name": name} if "name" in value else value)


def _options(kind: str, name: str, row: Any) -> Any:
    if (kind, name) not in renamed.OF_COMPONENT_OPTIONS or not isinstance(row, Mapping):
        return row
    whose = {
        key: value for key, value in row.items() if key in ("name", *TRAINER_KEYS)
    }  # never the component's
    others = {key: value for key, value in row.items() if key not in whose}
    known = name in registry().names(kind)
    declared = registry().get(kind, name).Options.__dataclass_fields__ if known else ()
    return whose | renamed.options(kind, name, others, declared)


def present_name(kind: str, name: str) -> str:
    """What a component is called now; a name that is registered is its own."""
    known = registry().names(kind) if name in renamed.OF_COMPONENTS.get(kind, {}) else ()
    return renamed.component(kind, name, known)


def _moved(tables: Mapping[str, Any], old: str, row: renamed.Renamed) -> dict[str, Any]:
    """Tables with a setting at its present place, where its old one is set and that one is not."""
    *parents, last = old.split(".")
    inner: Any = tables
    for parent in parents:
        inner = inner.get(parent) if isinstance(inner, Mapping) else None
    if not isinstance(inner, Mapping) or last not in inner:
        return dict(tables)
    renamed.tell(renamed.sentence(old, row, noun="setting"))
    return _set(_without(tables, [*parents, last]), row.new.split("."), inner[last])


def _without(tables: Mapping[str, Any], path: list[str]) -> dict[str, Any]:
    """Tables without what is at a path, and without tables that nothing else is in."""
    first, *rest = path
    left = {key: value for key, value in tables.items() if key != first}
    under = _without(tables[first], rest) if rest else {}
    return {**left, first: under} if under else left


def _set(tables: Mapping[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    """Tables with a value at a path that is free; what is in the way, and no table, stays for who checks."""
    first, *rest = path
    under = tables.get(first, {})
    if isinstance(under, str) and first in COMPONENTS:
        under = {"name": under}
    if not rest:
        return {first: value, **tables}
    return {**tables, first: _set(under, rest, value)} if isinstance(under, Mapping) else dict(tables)

"""The layers a configuration is merged from: presets, a TOML file, and the settings of the command line.

Precedence: defaults < preset < file < command line. Naming another component in a later layer drops the
earlier one's options.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from surfhead.core.config import COMPONENTS, RunConfig, resolve
from surfhead.core.errors import DataError, OptionError, cause, unknown_name
from surfhead.files.bounds import regular
from surfhead.runs.new_names import with_new_names
from surfhead.terminal import renamed

# the lowest layer: what a run is made of where nothing else is said
USUAL = {
    "data": {"name": "synthetic"},
    "deformer": {"name": "jbs"},
    "appearance": {"name": "lasg"},
    "densifier": {"name": "adaptive"},
    "export": {"format": "surfhead"},
}


def configured(tables: Mapping[str, Any]) -> RunConfig:
    """Merged tables as a RunConfig; what they leave open is the usual. Errors as of ``resolve``."""
    return resolve(merge(USUAL, tables))


def preset_names() -> list[str]:
    """The names of the presets."""
    folder = resources.files("surfhead") / "presets"
    return sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))


def present_preset(name: str) -> str:
    """What a preset is called now."""
    return name if name in preset_names() else renamed.preset(name)


def preset(name: str) -> dict[str, Any]:
    """A preset's tables; a preset may build on another through its key ``base``."""
    name = present_preset(name)
    if name not in preset_names():
        raise unknown_name("preset", name, preset_names(), "See `surfhead list preset`.")
    text = (resources.files("surfhead") / "presets" / f"{name}.toml").read_text(encoding="utf-8")
    tables = tomllib.loads(text)
    base = tables.pop("base", None)
    tables.pop("description", None)
    return merge(preset(base), tables) if base else tables


def preset_description(name: str) -> str:
    """A preset's one-line description."""
    text = (resources.files("surfhead") / "presets" / f"{name}.toml").read_text(encoding="utf-8")
    return str(tomllib.loads(text).get("description", ""))


def read_file(path: Path) -> dict[str, Any]:
    """A configuration file's tables. Raises DataError naming the file and the line."""
    try:
        # a run's folder may have a name that is no UTF-8; it comes back as it was written
        tables = tomllib.loads(regular(path, 1 << 24).read_bytes().decode("utf-8", "surrogateescape"))
        if _holds_nul(tables):
            raise ValueError("a text in it holds the character NUL")
        return tables
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f'Configuration file "{path}" cannot be read: {cause(error)}.',
            "Expected a TOML file such as a run's config.toml.",
            "Mend the file.",
        ) from error


def _holds_nul(value: Any) -> bool:
    """Whether a text in tables holds the character NUL, which no path may."""
    if isinstance(value, Mapping):
        return any(_holds_nul(entry) for entry in (*value, *value.values()))
    if isinstance(value, list):
        return any(map(_holds_nul, value))
    return isinstance(value, str) and "\0" in value


def merge(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    """Tables of a lower layer overridden by those of a higher one; old names become the present ones."""
    merged = with_new_names(low, {})
    high = with_new_names(high, merged)
    for key, value in high.items():
        old, value = _written_out(key, merged.get(key)), _written_out(key, value)
        if not (isinstance(old, Mapping) and isinstance(value, Mapping)):
            merged[key] = value
        elif key in COMPONENTS and "name" in value and value["name"] != old.get("name", value["name"]):
            merged[key] = dict(value)
        else:
            merged[key] = _overridden(old, value)
    return merged


def _overridden(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    """As ``merge``, of tables in a table, where a key such as ``data.rig`` names no component of the run."""
    merged = dict(low)
    for key, value in high.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = _overridden(old, value) if both else value  # type: ignore[arg-type]
    return merged


def with_optional_rates(tables: Mapping[str, Any], optional: bool) -> dict[str, Any]:
    """A layer whose rates say whether they are let go where the chosen components have no such group.

    Those of a preset are, since it was written for other components; those of a user are not. What a rate
    says itself, as in a run's config.toml, stays.
    """

    def marked(rows: Any) -> Any:
        if not isinstance(rows, Mapping):
            return rows
        rows = _written_out("rate", rows)
        return {
            name: {"optional": optional, **row} if isinstance(row, Mapping) else row
            for name, row in rows.items()
        }

    rates = tables.get("rate")
    if not isinstance(rates, Mapping):
        return dict(tables)
    found = marked({name: row for name, row in rates.items() if name != "rig"})
    return {**tables, "rate": found | ({"rig": marked(rates["rig"])} if "rig" in rates else {})}


def _written_out(key: str, value: Any) -> Any:
    """Shorthands as tables, so that layers merge: a component's name, a term's weight, a group's rate."""
    if key in COMPONENTS and isinstance(value, str):
        return {"name": value}
    word = {"regularizers": "weight", "rate": "initial"}.get(key)
    if word is None or not isinstance(value, Mapping):
        return value
    return {k: {word: v} if isinstance(v, (int, float)) else v for k, v in value.items()}


def nested(settings: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Dotted keys into tables: ``deformer.rotation_blend`` -> {"deformer": {"rotation_blend": ...}}."""
    tables: dict[str, Any] = {}
    for key, value in settings:
        *parents, last = key.split(".")
        table = tables
        for parent in parents:
            table[parent] = _written_out(parent, table.get(parent, {}))
            table = table[parent]
            if not isinstance(table, dict):
                raise OptionError(f'Setting "{key}" needs a table at "{parent}".', "", "Check --set.")
        if isinstance(table.get(last), dict) and isinstance(value, dict):
            table[last] = _overridden(table[last], value)
        else:
            table[last] = value
    return tables

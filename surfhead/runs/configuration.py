"""The configuration of a run, checked before anything is made on disk."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surfhead.core.component import Component, build_options
from surfhead.core.config import Choice, RunConfig
from surfhead.core.errors import OptionError
from surfhead.core.moments import options_in_images
from surfhead.core.registry import registry
from surfhead.data.opening import data_choice
from surfhead.files.places import place, resolved
from surfhead.runs import trust
from surfhead.runs.layers import configured, merge, present_preset, read_file, with_optional_rates
from surfhead.runs.layers import preset as preset_tables
from surfhead.runs.restoration import RIG_FILES
from surfhead.training.weighted_term import make_terms


def configure(
    data: str | None = None,
    *,
    preset: str | None = "fast",
    file: Path | str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> RunConfig:
    """The configuration of a run: defaults < preset < file < settings.

    Args:
        data: folder of the data set; None is the built-in head (or what the file says).
        preset: name of a preset; None starts from the usual components and nothing else.
        file: a TOML file such as a run's config.toml.
        settings: nested tables, such as ``{"deformer": {"name": "jbs"}}``.

    Raises:
        UnknownNameError, OptionError, DataError: naming what is wrong and what exists.
    """
    settings = {} if settings is None else settings
    _check_keys(settings)
    file = None if file is None else place(file)
    tables: dict[str, Any] = {}
    if preset is not None and not (isinstance(preset, str) and not preset):
        preset = present_preset(preset)
        tables = merge(tables, {**with_optional_rates(preset_tables(preset), True), "preset": preset})
    if file is not None:
        tables = merge(tables, with_optional_rates(read_file(file), False))
    if data is not None:
        tables = merge(tables, {"path": str(resolved(data))})
    tables = merge(tables, with_optional_rates(settings, False))
    if "plugins" in settings:
        files = [plugin.expanduser().absolute() for plugin in trust.plugin_files(tables)]
        trust.load_named(files)
    else:  # somebody may have sent the file
        where = Path() if file is None else file.absolute()
        files = [where.parent / plugin.expanduser() for plugin in trust.plugin_files(tables)]
        for plugin in files:
            trust.load_foreign(plugin, where)
    if files:
        tables["plugins"] = [str(plugin) for plugin in files]
    tables["rig"] = _absolute(tables.get("rig", {}))
    options = tables.get("data", {})
    found = isinstance(tables.get("path"), str) and tables["path"]
    if found and isinstance(options, Mapping) and "name" not in options:
        tables["data"] = {"name": data_choice(tables["path"]).name, **options}
    config = configured(tables)
    check_choices(config)
    return config


def _check_keys(settings: Any, where: str = "settings") -> None:
    """Raise OptionError for settings from Python that are no tables of names."""
    if not isinstance(settings, Mapping) or not all(isinstance(key, str) for key in settings):
        raise OptionError(
            f'"{where}" is {settings!r:.200}.',
            "Expected a table whose keys are names.",
            'Give such as {"iterations": 5000, "deformer": {"name": "jbs"}}.',
        )
    for key, value in settings.items():
        if isinstance(value, Mapping):
            _check_keys(value, f"{where}.{key}")


def _absolute(rig: Any) -> Any:
    """A rig's table with the places of its files from the root: a run is opened from anywhere."""
    if not isinstance(rig, Mapping):
        return rig
    files = {key: rig[key] for key in RIG_FILES if isinstance(rig.get(key), str) and rig[key]}
    return {**rig, **{key: str(Path(place).expanduser().absolute()) for key, place in files.items()}}


def default_stem(config: RunConfig) -> Path:
    """runs/<data>-<deformer>-<appearance>, to which the first free number is added."""
    data = Path(config.path).name if config.path else "head"
    return Path("runs") / f"{data}-{config.deformer.name}-{config.appearance.name}"


def check_choices(config: RunConfig) -> None:
    """Raise the error of a wrong name or option now, before anything is made on disk."""
    found = registry()
    for kind in ("deformer", "appearance", "densifier", "rasterizer", "rig"):
        choice: Choice = getattr(config, kind)
        if choice.name != "auto":
            cls = found.get(kind, choice.name)
            build_options(cls, options_in_images(cls, choice.options, config.iterations))
    found.registration("dataset", config.data.name)
    make_terms(config)
    for name, options in config.observers.items():
        build_options(found.get("observer", name), options)


def unfit_schedules(config: RunConfig) -> list[str]:
    """What of the run's schedule lies beyond its end, a sentence each."""
    found = []
    for kind in ("appearance", "densifier"):
        choice: Choice = getattr(config, kind)
        if choice.name != "auto":
            found += _unfit(registry().get(kind, choice.name), choice.options, config.iterations)
    for term in make_terms(config):
        if term.weight > 0 and 0 < config.iterations <= term.start:
            found.append(
                f'Regularizer "{term.name}" starts at image {term.start}, after the end of the run of '
                f"{config.iterations}; a fraction, such as 0.1, scales with the run."
            )
    return found


def _unfit(cls: type[Component], options: Mapping[str, Any], length: int) -> list[str]:
    """What of a component's schedule lies beyond a run of ``length`` images, a sentence each."""
    found = []
    fields = dataclasses.fields(cls.Options)
    counts: dict[str, Any] = {field.name: field.default for field in fields}
    counts |= options_in_images(cls, options, length)
    for field in fields:
        if "of" not in field.metadata or field.metadata.get("end", False):
            continue
        factor = counts.get(field.metadata.get("times", ""), 1)
        last = counts[field.name] * (factor if isinstance(factor, int) else 1)
        given = options.get(field.name)
        counted = isinstance(given, int) or (isinstance(given, float) and given > 1.0)
        if counted and 0 < length <= last:
            found.append(
                f'"{field.name}" of {cls.kind} "{cls.name}" is {counts[field.name]} images, which does not '
                f"fit into a run of {length}; a fraction, such as 0.1, scales with the run."
            )
    return found

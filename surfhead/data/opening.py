"""Opens a run's data set with the reader that recognises it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surfhead.core.components import Dataset
from surfhead.core.config import Choice, RunConfig
from surfhead.core.errors import DataError
from surfhead.core.registry import registry
from surfhead.core.scene import Scene
from surfhead.data.films import INSTALL, READ_BY, unread_film
from surfhead.files.given import made_by
from surfhead.files.places import found_in, is_dir, is_file, place, resolved

log = logging.getLogger("surfhead")


@dataclass(frozen=True)
class Opened:
    """An opened data set and the reader that opened it."""

    scene: Scene
    dataset: Dataset


def data_choice(data: str | None) -> Choice:
    """The data set plugin for a path, recognised by its content; None is the built-in head."""
    if data is None:
        return Choice("synthetic")
    path = place(data)
    if not path.exists():
        raise DataError(
            f'Data set "{data}" does not exist.',
            "Expected a folder or a file, such as a film, or no DATA at all for the built-in head.",
            "Check the path.",
        )
    found = registry()
    for name in found.names("dataset"):
        cls: Any = found.get("dataset", name)
        if recognised(cls, path):
            return Choice(name)
    if is_file(path / "config.toml") and is_dir(path / "checkpoints"):
        raise DataError(
            f'"{data}" is a run, not a data set.',
            "Expected the folder that a run was trained on, or another data set's.",
            f"The run's own data need no naming; its configuration, {path / 'config.toml'}, has their path.",
        )
    if is_dir(path) and not found_in(path, "*"):
        raise DataError(
            f'"{data}" is an empty folder.', "Expected a data set.", "Check the path, and what was unpacked."
        )
    if unread_film(path):
        raise DataError(f'No data set reader recognises "{data}".', READ_BY, INSTALL)
    readers: list[Any] = [found.get("dataset", name) for name in found.names("dataset")]
    reasons = [_declined(reader, path) for reader in readers]
    said = " ".join(dict.fromkeys(reason for reason in reasons if reason))
    raise DataError(
        f'No data set reader recognises "{data}".' + (f" {said}" if said else ""),
        f"Readers: {', '.join(found.names('dataset'))}.",
        "Name one with --set data.name=NAME, or see `surfhead show dataset NAME` for its layout.",
    )


def recognised(reader: Any, path: Path) -> bool:
    """Whether a reader says that it reads a path; one that fails over it does not."""
    try:
        return bool(reader.recognises(path))
    except Exception as error:  # a plugin's reader may raise anything; another may know the data
        log.debug('Reader "%s" cannot look at "%s": %s', reader.name, path, error)
        return False


def _declined(reader: Any, path: Path) -> str:
    try:
        reader.recognises(path)
        return str(reader.declines(path))
    except Exception as error:
        return f'Reader "{reader.name}" cannot look at it: {type(error).__name__}: {error}.'


def usual_preset(data: str | None, name: str | None = None) -> str:
    """The preset that a data set's reader names for it; empty where it names none.

    Args:
        data: path of the data set; None is the built-in head.
        name: the reader, where it was chosen; else the one that recognises the data.

    Raises:
        DataError: no reader recognises the data. UnknownNameError: there is no reader of this name.
    """
    if name is None:
        name = data_choice(None if data is None else str(resolved(data))).name
    chosen: Any = registry().get("dataset", name)
    return str(chosen.preset)


def open_scene(config: RunConfig) -> Opened:
    """Open the run's data set."""
    options = dict(config.data.options)
    cls: Any = registry().get("dataset", config.data.name)
    if cls.on_disk and not config.path:
        raise DataError(
            f'No data set is given for the reader "{config.data.name}".',
            "A run that was imported without --data has none.",
            "Give --data FOLDER to `surfhead eval`, or import the avatar again with --data.",
        )
    fields = cls.Options.__dataclass_fields__
    if config.background is not None and "background" in fields:
        options.setdefault("background", config.background)
    if config.cache != "auto" and "cache" in fields:
        options.setdefault("cache", "ram" if config.cache == "gpu" else config.cache)
    dataset: Dataset = registry().create("dataset", config.data.name, options)
    scene = dataset.open(place(config.path) if config.path else None)
    return Opened(made_by("dataset", dataset.name, scene, Scene), dataset)  # type: ignore[type-abstract]

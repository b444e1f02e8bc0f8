"""The motions an avatar can follow: of a run, of a data set, or in a motion file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from surfhead.core.errors import DataError
from surfhead.core.registry import registry
from surfhead.core.scene import Motion, Scene
from surfhead.data.films import INSTALL, READ_BY, unread_film
from surfhead.data.opening import data_choice, recognised
from surfhead.files.places import place
from surfhead.runs.existing import CONFIG
from surfhead.runs.run import Run

Parameters = Mapping[str, Tensor]


@dataclass(frozen=True)
class Driver:
    """A motion to follow.

    Attributes:
        name: what it is called in messages.
        parameters: rig parameter -> (T, d).
        rig: registered name of the rig they are for; empty where the file does not say.
        identity: name -> tensor, the driver's own; empty where it is not known.
        rate: timesteps a second.
        scene: the data set it came from, whose pictures show the driver, or None.
        labels: names of a parameter's columns, which then go to the rig's columns of the same names.
    """

    name: str
    parameters: Parameters
    rig: str = ""
    identity: Parameters = field(default_factory=dict)
    rate: float = 25.0
    scene: Scene | None = None
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def read_driver(source: Path) -> Driver:
    """The motion of a run, of a data set or in a motion file.

    Args:
        source: a run folder, a folder of any data set that is recognised, or a file of a format that holds a
            motion.

    Raises:
        DataError: it is none of these, or damaged.
    """
    name, source = str(source), place(source)
    if not source.exists():
        raise DataError(
            f'Driver "{name}" does not exist.',
            "Expected a data set, a film, a motion file (.npz, .npy, .csv of ARKit) or a run.",
            "Check the path.",
        )
    if source.is_file():
        found = _read_file(source)
        if found is None:
            return _read_data(source)
        return Driver(name, found.parameters, rate=found.rate, labels=found.labels)
    if (source / CONFIG).is_file():
        return _read_run(source)
    return _read_data(source)


def _read_data(source: Path) -> Driver:
    choice = data_choice(str(source))
    scene = registry().create("dataset", choice.name, choice.options).open(source)
    return Driver(str(source), scene.rig_parameters, scene.rig, scene.identity, scene.rate, scene)


def _read_file(path: Path) -> Motion | None:
    """The motion in a file; None where no format reads one, but a data set recognises the file."""
    formats: dict[str, Any] = {name: registry().get("format", name) for name in registry().names("format")}
    for name, cls in formats.items():
        if cls.reads and path.suffix.lower() in cls.suffixes:
            found = registry().create("format", name).read(path)
            if isinstance(found, Motion):
                return found
    datasets: list[Any] = [registry().get("dataset", name) for name in registry().names("dataset")]
    if any(recognised(cls, path) for cls in datasets):
        return None
    if unread_film(path):
        raise DataError(f'Driver "{path}" is no motion file.', READ_BY, INSTALL)
    raise DataError(
        f'Driver "{path}" is no motion file.',
        "Expected rig parameters over time, such as an .npz; see `surfhead show format motion`.",
        "Give --driver or --motion a motion file, a data set or a run.",
    )


def _read_run(folder: Path) -> Driver:
    avatar = Run(folder).avatar("cpu", rasterizer="torch")
    return Driver(str(folder), avatar.motion, avatar.rig.name, avatar.identity)

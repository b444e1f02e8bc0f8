"""A run folder, opened once; each thing in it is read when it is first asked for."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from surfhead.avatars.avatar import Avatar
from surfhead.core.config import Choice, RunConfig
from surfhead.core.errors import DataError
from surfhead.core.scene import Scene
from surfhead.data.opening import Opened, data_choice, open_scene
from surfhead.drawing.sight import Sight, sight_from
from surfhead.files.bounds import read_json
from surfhead.files.places import found_in, place, resolved
from surfhead.runs import trust
from surfhead.runs.existing import CONFIG, check_run
from surfhead.runs.layers import configured, read_file
from surfhead.runs.provenance import check_plugin_files
from surfhead.runs.restoration import restore_avatar
from surfhead.runs.same_data import check_same_data
from surfhead.training import checkpoint
from surfhead.training.devices import choose_device


class Run:
    """A run folder; `surfhead.open_run` opens one.

    Attributes:
        folder: as it was given.
        data: where its data are now; None: where they were.
        other_data: whether ``opened`` is another data set than the run's own.
    """

    def __init__(self, folder: Path | str, data: str | None = None) -> None:
        self.folder = place(folder)
        self.data = data
        self.other_data = False

    def __repr__(self) -> str:
        return f'Run("{self.folder}")'

    def on(self, data: str | None) -> Run:
        """The same run with another data set of the same rig; None: with its own."""
        made = Run(self.folder)
        made.config = self.config
        if data is not None:
            made.other_data = True
            made.config = replace(self.config, data=data_choice(data), path=str(resolved(data)))
        return made

    @cached_property
    def config(self) -> RunConfig:
        """Its configuration; its plugin files are loaded. Raises DataError where it is no run."""
        return at_home(read_config(self.folder), self.data)

    @cached_property
    def opened(self) -> Opened:
        """Its data set and the reader that opened it.

        Raises:
            DataError: it cannot be opened, or at ``data`` there is another one than the run was trained on.
        """
        config = self.config  # loads its plugin files
        opened = open_scene(config)
        newest = None if self.data is None or self.other_data else self.newest
        known = None if newest is None else checkpoint.read_meta(newest).get("data")
        if known:  # runs of earlier versions and imported ones have none
            check_same_data(opened.scene, known, config.path, self.folder)
        return opened

    @property
    def scene(self) -> Scene:
        """Its data set."""
        return self.opened.scene

    @property
    def held_out(self) -> bool:
        """Whether it was not trained on the data set's splits val and test."""
        return self.opened.dataset.held_out if self.config.hold_out is None else self.config.hold_out

    @property
    def newest(self) -> Path | None:
        """Its newest checkpoint, or None; looked for anew each time, as the run may still go on."""
        return checkpoint.latest(self.folder)

    def checkpoint(self, name: str | None = None) -> Path:
        """The checkpoint of this name, such as ``00001000``; by default the newest. Raises DataError."""
        known = [path for path in found_in(self.folder / "checkpoints", "[0-9]*") if path.is_dir()]
        path = self.newest if name is None else next((one for one in known if one.name == name), None)
        if path is None:
            raise DataError(
                f'Run "{self.folder}" has no checkpoint{"" if name is None else f" {name!r:.200}"}.',
                f"It has: {', '.join(one.name for one in known) or 'none'}.",
                "Train it further with --resume.",
            )
        return path

    def avatar(self, device: str = "auto", *, name: str | None = None, rasterizer: str = "auto") -> Avatar:
        """Its avatar, ready to render, made anew each time; the training data is not needed.

        Args:
            device: ``auto``, ``cpu``, ``cuda``.
            name: the checkpoint's, such as ``00001000``; by default the newest.
            rasterizer: by name.

        Raises:
            DataError: no run, no checkpoint, a damaged one, or one of another rig.
            ContractError: a plugin it needs is missing.
        """
        config = replace(self.config, rasterizer=Choice(rasterizer))
        path, chosen = self.checkpoint(name), choose_device(device)
        tensors, meta = checkpoint.read(path, chosen)
        return restore_avatar(config, tensors, meta, chosen, path)

    @property
    def sight(self) -> Sight | None:
        """What its one camera saw of the head; None: it had several, or that is not known."""
        return None if self.newest is None else sight_from(checkpoint.read_meta(self.newest).get("sight"))

    def evaluation(self, split: str) -> dict[str, Any] | None:
        """What `surfhead eval` wrote of a split for the newest checkpoint, or None."""
        if self.newest is None:
            return None
        path = self.folder / "eval" / checkpoint.label(self.newest) / f"{split}.json"
        try:
            found: dict[str, Any] = read_json(path)
        except (OSError, ValueError, RecursionError):
            return None
        whole = isinstance(found, dict) and isinstance(found.get("means"), dict)
        return found if whole and isinstance(found.get("views"), int) else None


def open_run(folder: Path | str) -> Run:
    """Open a run folder; its avatar, data and figures are read when they are asked for.

    Args:
        folder: made by `surfhead train` or `surfhead import`.

    Raises:
        DataError: it is no run, or its configuration is damaged.
        ContractError: a plugin file it needs is missing or changed.
    """
    run = Run(folder)
    _ = run.config  # what is wrong with it is said here, not later
    return run


def load_avatar(
    run: Path | str, *, device: str = "auto", checkpoint_name: str | None = None, rasterizer: str = "auto"
) -> Avatar:
    """The avatar of a run, ready to render; the training data is not needed.

    Args:
        run: run folder.
        device: ``auto``, ``cpu``, ``cuda``.
        checkpoint_name: such as ``00001000``; by default the newest.
        rasterizer: by name.

    Raises:
        DataError: no run, no checkpoint, or a damaged one. ContractError: a plugin it needs is missing.
    """
    return Run(run).avatar(device, name=checkpoint_name, rasterizer=rasterizer)


def at_home(config: RunConfig, data: str | None) -> RunConfig:
    """A run's configuration with its data at the place where they are now; None: where they were."""
    if data is None:
        return config
    return replace(config, path=str(resolved(data)))


def read_config(folder: Path) -> RunConfig:
    """A run's saved configuration; its plugin files are loaded. Raises DataError without one."""
    check_run(folder)
    tables = read_file(folder / CONFIG)
    newest = checkpoint.latest(folder)
    meta: dict[str, Any] = {}
    if newest is not None:
        meta = checkpoint.read_meta(newest)
        with checkpoint.intact(newest):
            check_plugin_files(meta)  # before any of them is executed
    with nullcontext() if newest is None else checkpoint.intact(newest):
        trust.load_of_run(trust.plugin_files(tables), meta, (folder / CONFIG).absolute())
    return configured(tables)

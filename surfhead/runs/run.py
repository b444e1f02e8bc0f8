"""Runs: configure, train, resume, load and evaluate; the Python face of the command line."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surfhead.avatars.avatar import Avatar
from surfhead.core.config import Choice, RunConfig, read_file, resolve
from surfhead.core.devices import choose_device
from surfhead.core.errors import DataError
from surfhead.runs import trust
from surfhead.runs.folder import CONFIG
from surfhead.runs.provenance import check_components, check_plugin_files
from surfhead.runs.restoration import restore_avatar, same_rig
from surfhead.training import checkpoint

if TYPE_CHECKING:
    pass

log = logging.getLogger("surfhead")


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
    folder = Path(run)
    config = read_config(folder)
    path = checkpoint.latest(folder)
    if checkpoint_name is not None:
        path = folder / "checkpoints" / checkpoint_name
    if path is None or not path.is_dir():
        names = [p.name for p in (folder / "checkpoints").glob("[0-9]*")]
        raise DataError(
            f'Run "{folder}" has no checkpoint{f" {checkpoint_name}" if checkpoint_name else ""}.',
            f"It has: {', '.join(sorted(names)) or 'none'}.",
            "Train it further with --resume.",
        )
    chosen = choose_device(device)
    tensors, meta = checkpoint.read(path, chosen)
    config = replace(config, rasterizer=Choice(rasterizer))
    with checkpoint.intact(path):
        check_components(meta, path)
        avatar = restore_avatar(config, tensors, meta, chosen)
        same_rig(avatar, meta, path)
        avatar.advance(int(meta["images"]))
    return avatar


def at_home(config: RunConfig, data: str | None) -> RunConfig:
    """A run's configuration with its data at the place where they are now; None: where they were."""
    if data is None:
        return config
    return replace(config, path=str(Path(data).expanduser().resolve()))


def read_config(folder: Path) -> RunConfig:
    """A run's saved configuration; its plugin files are loaded. Raises DataError without one."""
    if not (folder / CONFIG).is_file():
        raise DataError(
            f'"{folder}" is not a run: it has no {CONFIG}.',
            "Expected a folder made by `surfhead train`.",
            "Check the path; a new run needs no --resume.",
        )
    tables = read_file(folder / CONFIG)
    newest = checkpoint.latest(folder)
    meta: dict[str, Any] = {}
    if newest is not None:
        meta = checkpoint.read_meta(newest)
        with checkpoint.intact(newest):
            check_plugin_files(meta)  # before any of them is executed
    with nullcontext() if newest is None else checkpoint.intact(newest):
        trust.load_of_run(trust.plugin_files(tables), meta, (folder / CONFIG).absolute())
    return resolve(tables)

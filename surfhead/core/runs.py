"""Runs: configure, train, resume, load and evaluate; the Python face of the command line."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from surfhead.core import checkpoint
from surfhead.core.avatar import Avatar
from surfhead.core.build import (
    Opened,
    check_choices,
    check_components,
    check_plugin_files,
    choose_device,
    colour_from_data,
    component_versions,
    data_choice,
    make_avatar,
    make_terms,
    open_scene,
)
from surfhead.core.config import Choice, RunConfig, merge, plugin_files, read_file, resolve
from surfhead.core.config import preset as preset_tables
from surfhead.core.errors import DataError, OptionError
from surfhead.core.events import Events
from surfhead.core.file_check import check_held_out
from surfhead.core.mask_check import warn_of_masks
from surfhead.core.ranks import ALONE, Ranks, joined
from surfhead.core.registry import registry
from surfhead.core.restoration import parts, restore_avatar, same_rig
from surfhead.core.runfolder import CONFIG, run_folder
from surfhead.core.scene import Scene
from surfhead.core.surfels import Surfels
from surfhead.core.trainer import Trainer

if TYPE_CHECKING:
    from surfhead.core.evaluation import Evaluation

log = logging.getLogger("surfhead")


def configure(
    data: str | None = None,
    *,
    preset: str | None = "fast",
    file: Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> RunConfig:
    """The configuration of a run: defaults < preset < file < settings.

    Args:
        data: folder of the data set; None is the built-in head (or what the file says).
        preset: name of a preset; None starts from the bare defaults.
        file: a TOML file such as a run's config.toml.
        settings: nested tables, such as ``{"deformer": {"name": "jbs"}}``.

    Raises:
        UnknownNameError, OptionError, DataError: naming what is wrong and what exists.
    """
    tables: dict[str, Any] = {}
    if preset:
        tables = merge(tables, {**preset_tables(preset), "preset": preset})
    if file is not None:
        tables = merge(tables, read_file(file))
    if data is not None:
        tables = merge(tables, {"path": str(Path(data).expanduser().resolve())})
    tables = merge(tables, dict(settings or {}))
    for plugin in plugin_files(tables):
        registry().load_file(plugin)
    options = tables.get("data", {})
    found = isinstance(tables.get("path"), str) and tables["path"]
    if found and isinstance(options, Mapping) and "name" not in options:
        tables["data"] = {"name": data_choice(tables["path"]).name, **options}
    config = resolve(tables)
    check_choices(config)
    return config


def default_folder(config: RunConfig) -> Path:
    """runs/<data>-<deformer>-<appearance>-<n>, the first free n."""
    data = Path(config.path).name if config.path else "head"
    stem = f"{data}-{config.deformer.name}-{config.appearance.name}"
    number = 1
    while (Path("runs") / f"{stem}-{number}").exists():
        number += 1
    return Path("runs") / f"{stem}-{number}"


def train(
    data: str | None = None,
    *,
    preset: str | None = "fast",
    file: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    out: Path | str | None = None,
    resume: bool = False,
    start_from: Path | None = None,
    quiet: bool = False,
    debug: int = -1,
) -> Path:
    """Train an avatar and evaluate it.

    Args:
        data, preset, file, settings: see ``configure``; ignored with ``resume``.
        out: run folder; by default a new one below ``runs``.
        resume: continue the run in ``out`` as if it had not stopped.
        start_from: checkpoint folder (or run) whose surfels a new run starts from.
        quiet: leave out the observers that only display.
        debug: with ``resume``, check every step from this image on; otherwise a setting.

    Under torchrun (or `surfhead train --processes`) every process calls this, and they train together: each
    draws its share of every batch. How many there are is not part of the run.

    Returns:
        The run folder.

    Raises:
        OptionError: the processes cannot share the batches equally.
        DataError: ``out`` holds a run and ``resume`` is not set, or the reverse.
    """
    config, folder = _chosen(data, preset, file, settings, out, resume, debug)
    with joined(config.device) as (ranks, device):
        folder = ranks.tell(folder)  # the default is the first free one
        ranks.check_batch(config.batch_size)
        with ranks.in_turn():  # the first process draws or converts data that the others then read
            opened = open_scene(config)
            check_held_out(opened.scene)
        how: dict[str, Any] = {"resume": resume, "start_from": start_from, "quiet": quiet, "ranks": ranks}
        trainer = make_trainer(config, opened, folder, device, **how)
        if ranks.first:
            warn_of_masks(opened.scene, trainer.order.views)
        ranks.wait()
        # made only once everything fits together
        with run_folder(folder, config) if ranks.first else nullcontext():
            trainer.run()
    return folder


def _chosen(
    data: str | None,
    preset: str | None,
    file: Path | None,
    settings: Mapping[str, Any] | None,
    out: Path | str | None,
    resume: bool,
    debug: int,
) -> tuple[RunConfig, Path]:
    """The configuration and the folder of a run, new or continued."""
    if resume:
        if out is None:
            raise OptionError("--resume needs the run's folder.", "", "Add --out RUN.")
        folder = Path(out)
        config = read_config(folder)
        return replace(config, debug=max(debug, config.debug)), folder
    config = configure(data, preset=preset, file=file, settings=settings)
    folder = Path(out) if out is not None else default_folder(config)
    if (folder / CONFIG).exists():
        raise DataError(
            f'"{folder}" already holds a run.',
            f"Its newest checkpoint is {checkpoint.latest(folder) or 'missing'}.",
            "Add --resume to continue it, or choose another --out.",
        )
    return config, folder


def make_trainer(
    config: RunConfig,
    opened: Opened,
    folder: Path,
    device: torch.device,
    *,
    resume: bool = False,
    start_from: Path | None = None,
    quiet: bool = False,
    ranks: Ranks = ALONE,
) -> Trainer:
    """Compose a trainer; with ``resume`` it continues the folder's newest checkpoint.

    Of several processes that train together, ``ranks``, the first alone observes, evaluates and writes.
    """
    from surfhead.core.exporting import exporter
    from surfhead.core.monitoring import evaluate_during_training

    scene = opened.scene
    held_out = opened.dataset.held_out if config.hold_out is None else config.hold_out
    views = scene.views.of("train") if held_out else scene.views.of("all")
    newest = checkpoint.latest(folder) if resume else None
    tensors: dict[str, Tensor] = {}
    meta: dict[str, Any] = {}
    if newest is not None:
        tensors, meta = checkpoint.read(newest, device)
        with checkpoint.intact(newest):
            check_components(meta)
            avatar = restore_avatar(config, tensors, meta, device)
            same_rig(avatar, meta, newest)
    else:
        avatar = make_avatar(config, scene, device)
        if config.initial_colours == "mean":
            colour_from_data(avatar, scene, views)
        if start_from is not None:
            _start_from(avatar, start_from, device)
    centre = None
    if avatar.deformer.rig_bound:
        centre = avatar.rig.rest().vertices.mean(dim=0).cpu().numpy().astype(np.float64)
    if newest is None:
        extent = scene.extent(centre)
    else:
        with checkpoint.intact(newest):
            extent = float(meta["extent"])
    wanted = config.observers if ranks.first else {}
    observers = [registry().create("observer", name, options) for name, options in wanted.items()]
    observers = [observer for observer in observers if not (quiet and observer.display)]

    def describe() -> dict[str, Any]:
        return {
            **component_versions(config, avatar),
            "rig": {"name": avatar.rig.name, "options": _plain_options(avatar.rig.options)},
            "fingerprint": avatar.rig.fingerprint(),
            "resolution": [scene.views.height, scene.views.width],
        }

    trainer = Trainer(
        config,
        scene,
        avatar,
        make_terms(config),
        registry().create("densifier", config.densifier.name, config.densifier.options),
        Events(observers),
        folder,
        extent=extent,
        views=views,
        describe=describe,
        evaluate=evaluate_during_training if ranks.first else lambda trainer, final: None,
        export=exporter(config) if ranks.first else None,
        ranks=ranks,
    )
    if newest is not None:
        with checkpoint.intact(newest):
            trainer.restore(tensors, meta)
    return trainer


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
        check_components(meta)
        avatar = restore_avatar(config, tensors, meta, chosen)
        same_rig(avatar, meta, path)
        avatar.advance(int(meta["images"]))
    return avatar


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
    if newest is not None:
        meta = checkpoint.read_meta(newest)
        with checkpoint.intact(newest):
            check_plugin_files(meta)  # before any of them is executed
    for plugin in plugin_files(tables):
        registry().load_file(plugin)
    return resolve(tables)


def evaluate_run(
    run: Path | str,
    *,
    data: str | None = None,
    splits: tuple[str, ...] = ("val", "test"),
    device: str = "auto",
    out: Path | None = None,
    limit: int = 0,
) -> dict[str, Evaluation]:
    """Measure a run on its data (or other data of the same rig); writes tables and pictures.

    Args:
        run: run folder.
        data: another data set's folder.
        splits: which splits; empty ones are left out.
        out: where to write; by default eval/ in the run.
        limit: at most this many views a split; 0 means all.
    """
    from surfhead.core.evaluation import evaluate

    folder = Path(run)
    config = read_config(folder)
    if data is not None:
        config = replace(config, data=data_choice(data), path=str(Path(data).resolve()))
    opened = open_scene(config)
    avatar = load_avatar(folder, device=device)
    target = out or folder / "eval" / f"{avatar.images:08d}"
    held_out = opened.dataset.held_out if config.hold_out is None else config.hold_out
    results = {}
    for split in splits:
        if len(opened.scene.views.of(split)):
            found = evaluate(
                avatar,
                opened.scene,
                split,
                motion=None if data is None else _motion_for(avatar, opened.scene),
                folder=target,
                limit=limit,
                seen=data is None and not held_out,
            )
            found.write(target)
            results[split] = found
    if not results:
        raise DataError(f"The data set has no views in: {', '.join(splits)}.", "", "Choose another --split.")
    return results


def _plain_options(options: Any) -> dict[str, Any]:
    from surfhead.core.options import as_table

    return {k: str(v) if isinstance(v, Path) else v for k, v in as_table(options).items()}


def _start_from(avatar: Avatar, source: Path, device: torch.device) -> None:
    path = source if (source / checkpoint.META).exists() else checkpoint.latest(source)
    if path is None:
        raise DataError(f'"{source}" is no checkpoint.', "Expected a checkpoint or a run.", "Mend --from.")
    tensors, meta = checkpoint.read(path, device)
    with checkpoint.intact(path):
        same_rig(avatar, meta, path)
    part = parts(tensors)
    values, triangle = part("surfels"), tensors["triangle"].to(device)
    generator = torch.Generator().manual_seed(0)
    kept = {
        name: values[name]
        if name in values and values[name].shape[1:] == spec.shape
        else spec.start(len(triangle), generator).to(device)
        for name, spec in avatar.surfels.specs.items()
    }
    avatar.surfels = Surfels(avatar.surfels.specs, kept, triangle, avatar.surfels.topology)
    for name, value in part("motion").items():
        if name in avatar.motion and avatar.motion[name].shape == value.shape:
            avatar.motion[name] = value
    network = avatar.appearance.network()
    saved = part("network")
    if network is not None and saved:
        try:
            network.load_state_dict(saved)
        except RuntimeError as error:
            log.warning("The network of %s does not fit this run and starts anew: %s", path, error)


def _motion_for(avatar: Avatar, scene: Scene) -> dict[str, Tensor]:
    """Other data's rig parameters on the avatar's device. Raises DataError when it is of another rig."""
    if avatar.deformer.rig_bound and scene.rig != avatar.rig.name:
        raise DataError(
            f'The data was tracked with rig "{scene.rig}", the avatar has rig "{avatar.rig.name}".',
            "Expected data of the same rig.",
            "Choose another --data.",
        )
    return {name: rows.to(avatar.device, torch.float32) for name, rows in scene.rig_parameters.items()}

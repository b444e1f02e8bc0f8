"""Trains an avatar, or goes on training it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.avatars.precision import single_precision
from surfhead.avatars.state import AvatarState
from surfhead.avatars.surfels import Surfels
from surfhead.core.config import RunConfig, dump
from surfhead.core.errors import DataError, OptionError
from surfhead.core.registry import registry
from surfhead.data.file_check import check_held_out
from surfhead.data.mask_check import warn_of_masks
from surfhead.data.opening import Opened, open_scene
from surfhead.drawing.sight import sight_of
from surfhead.files.given import whole_number
from surfhead.files.places import is_file, path_text, place
from surfhead.files.writing import write_text
from surfhead.runs.claim import claimed, holds_a_run
from surfhead.runs.configuration import configure, default_stem, unfit_schedules
from surfhead.runs.existing import CONFIG
from surfhead.runs.folder import run_folder
from surfhead.runs.provenance import component_versions
from surfhead.runs.restoration import restore_avatar, same_rig
from surfhead.runs.run import at_home, read_config
from surfhead.runs.same_data import check_same_data, data_fingerprint
from surfhead.training import checkpoint
from surfhead.training.composition import look_at_data, make_avatar
from surfhead.training.events import Events
from surfhead.training.ranks import ALONE, Ranks, joined
from surfhead.training.trainer import Record, Trainer
from surfhead.training.training_data import TrainingData
from surfhead.training.weighted_term import make_terms

log = logging.getLogger("surfhead")


@single_precision()
def train(
    data: Path | str | None = None,
    *,
    preset: str | None = "fast",
    file: Path | str | None = None,
    settings: Mapping[str, Any] | None = None,
    out: Path | str | None = None,
    resume: bool = False,
    start_from: Path | str | None = None,
    quiet: bool = False,
    debug: int = -1,
) -> Path:
    """Train an avatar and evaluate it.

    Args:
        data: folder or file of the data set; None is the built-in head, or what ``file`` says. With
            ``resume`` the place to which the run's data were moved.
        preset: what to start from, such as ``paper``; None: the usual components and nothing else.
        file: a TOML file over the preset, such as a run's config.toml.
        settings: nested tables over both, such as ``{"iterations": 3000, "deformer": {"name": "jbs"}}``. Of
            these four only ``data`` counts with ``resume``.
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
        UnknownNameError: there is no such preset or component.
        OptionError: no such setting, a value out of any sense, or batches that the processes cannot share.
        DataError: the data cannot be read, or ``out`` holds a run and ``resume`` is not set, or the reverse.
    """
    debug = whole_number("debug", debug, -1, "Mend --debug.")
    source = None if data is None else path_text(data)
    config, folder = _chosen(source, preset, file, settings, out, resume, debug, start_from)
    start = None if start_from is None else _start_of(place(start_from))
    moved = resume and config.path != read_config(folder).path
    with joined(config.device) as (ranks, device), ExitStack() as held:
        ranks.check_batch(config.batch_size)
        if ranks.first:  # before data are opened: nobody else takes the folder meanwhile
            folder = held.enter_context(claimed(folder, resume=resume, numbered=out is None))
        folder = ranks.tell(folder)
        with ranks.in_turn():  # the first process draws or converts data that the others then read
            opened = open_scene(config)
            check_held_out(opened.scene)
        how: dict[str, Any] = {"resume": resume, "start_from": start, "quiet": quiet, "ranks": ranks}
        trainer = make_trainer(config, opened, folder, device, **how)
        if ranks.first:
            warn_of_masks(opened.scene, trainer.order.views)
            for sentence in unfit_schedules(config):
                log.warning("%s", sentence)
        ranks.wait()
        # made only once everything fits together
        with run_folder(folder, config) if ranks.first else nullcontext():
            if moved and ranks.first:
                write_text(folder / CONFIG, dump(config))
            trainer.run()
    return folder


def _chosen(
    data: str | None,
    preset: str | None,
    file: Path | str | None,
    settings: Mapping[str, Any] | None,
    out: Path | str | None,
    resume: bool,
    debug: int,
    start_from: Path | str | None,
) -> tuple[RunConfig, Path]:
    """The configuration and the folder of a run, new or continued."""
    if resume:
        if start_from is not None:
            raise OptionError(
                "--from is given with --resume.",
                "A resumed run goes on from its own newest checkpoint.",
                "Leave out one of the two; --from begins a new run.",
            )
        if out is None:
            raise OptionError("--resume needs the run's folder.", "", "Add --out RUN.")
        folder = place(out)
        config = at_home(read_config(folder), data)
        return replace(config, debug=max(debug, config.debug)), folder
    config = configure(data, preset=preset, file=None if file is None else place(file), settings=settings)
    folder = place(out) if out is not None else default_stem(config)
    if (folder / CONFIG).exists():
        raise holds_a_run(folder)
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
    from surfhead.training.exporting import exporter
    from surfhead.training.monitoring import evaluate_during_training

    scene = opened.scene
    held_out = opened.dataset.held_out if config.hold_out is None else config.hold_out
    views = scene.views.of("train") if held_out else scene.views.of("all")
    terms = make_terms(config)
    hidden = any("hidden" in term.component.regions for term in terms if term.weight > 0.0)
    newest = checkpoint.latest(folder) if resume else None
    tensors: dict[str, Tensor] = {}
    meta: dict[str, Any] = {}
    if newest is not None:
        tensors, meta = checkpoint.read(newest, device)
        avatar = restore_avatar(config, tensors, meta, device, newest)
        with checkpoint.intact(newest):
            place_then = meta.get("config", {}).get("path", config.path)
        if config.path and place_then != config.path:
            check_same_data(scene, meta.get("data"), config.path, folder)
        look_at_data(avatar, scene, views, False, hidden)
    else:
        avatar = make_avatar(config, scene, device)
        look_at_data(avatar, scene, views, config.initial_colours == "mean", hidden)
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

    fingerprint = data_fingerprint(scene) if config.path and ranks.first else ""

    sight = meta.get("sight")  # of the motion as it was at the start, whatever it has learnt since
    if newest is None and ranks.first:
        seen = sight_of(avatar, scene.views, views)
        sight = None if seen is None else seen.record()

    def describe() -> dict[str, Any]:
        return {
            **component_versions(config, avatar),
            "rig": {"name": avatar.rig.name, "options": _plain_options(avatar.rig.options)},
            "fingerprint": avatar.rig.fingerprint(),
            "data": fingerprint,
            **({} if sight is None else {"sight": sight}),
            "resolution": [scene.views.height, scene.views.width],
        }

    trainer = Trainer(
        config,
        avatar,
        TrainingData(scene, views, extent),
        terms,
        registry().create(
            "densifier", config.densifier.name, config.densifier.options, length=config.iterations
        ),
        Record(
            folder,
            Events(observers),
            describe,
            evaluate_during_training if ranks.first else lambda trainer, final: None,
            exporter(config) if ranks.first else None,
        ),
        ranks,
    )
    if newest is not None:
        with checkpoint.intact(newest):
            trainer.restore(tensors, meta)
        avatar.advance(trainer.images)
    return trainer


def _plain_options(options: Any) -> dict[str, Any]:
    from surfhead.core.options import as_table

    return {k: str(v) if isinstance(v, Path) else v for k, v in as_table(options).items()}


def _start_of(source: Path) -> Path:
    """The checkpoint to start from, of a checkpoint's folder or a run's. Raises DataError without one."""
    path = source if is_file(source / checkpoint.META) else checkpoint.latest(source)
    if path is None:
        raise DataError(f'"{source}" is no checkpoint.', "Expected a checkpoint or a run.", "Mend --from.")
    return path


def _start_from(avatar: Avatar, source: Path, device: torch.device) -> None:
    path = _start_of(source)
    tensors, meta = checkpoint.read(path, device)
    with checkpoint.intact(path):
        state, fingerprint = AvatarState.from_tensors(tensors, device), str(meta["fingerprint"])
    same_rig(avatar.rig.name, avatar.rig.fingerprint(), fingerprint, path)
    values, triangle = state.surfels, state.triangle
    generator = torch.Generator().manual_seed(0)
    kept = {
        name: values[name]
        if name in values and values[name].shape[1:] == spec.shape
        else spec.start(len(triangle), generator).to(device)
        for name, spec in avatar.surfels.specs.items()
    }
    avatar.surfels = Surfels(avatar.surfels.specs, kept, triangle, avatar.surfels.topology)
    for name, value in state.motion.items():
        if name in avatar.motion and avatar.motion[name].shape == value.shape:
            avatar.motion[name] = value
    network = avatar.appearance.network()
    if network is not None and state.network:
        try:
            network.load_state_dict(dict(state.network))
        except RuntimeError as error:
            log.warning("The network of %s does not fit this run and starts anew: %s", path, error)

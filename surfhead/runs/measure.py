"""Measures a run on its own data or on other data of the same rig."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.core.errors import DataError
from surfhead.core.scene import Scene
from surfhead.data.opening import data_choice, open_scene
from surfhead.runs.run import load_avatar, read_config

if TYPE_CHECKING:
    from surfhead.measuring.evaluation import Evaluation


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
    from surfhead.measuring.evaluation import evaluate

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


def _motion_for(avatar: Avatar, scene: Scene) -> dict[str, Tensor]:
    """Other data's rig parameters on the avatar's device. Raises DataError when it is of another rig."""
    if avatar.deformer.rig_bound and scene.rig != avatar.rig.name:
        raise DataError(
            f'The data was tracked with rig "{scene.rig}", the avatar has rig "{avatar.rig.name}".',
            "Expected data of the same rig.",
            "Choose another --data.",
        )
    return {name: rows.to(avatar.device, torch.float32) for name, rows in scene.rig_parameters.items()}

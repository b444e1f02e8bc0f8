"""Measures a run on its own data or on other data of the same rig."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from surfhead.avatars.scene_motion import motion_for
from surfhead.core.errors import DataError
from surfhead.data.opening import data_choice, open_scene
from surfhead.runs.run import at_home, load_avatar, read_config

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
    own_motion: bool = False,
    moved: str | None = None,
) -> dict[str, Evaluation]:
    """Measure a run on its data (or other data of the same rig); writes tables and pictures.

    Args:
        run: run folder.
        data: another data set's folder.
        splits: which splits; empty ones are left out.
        out: where to write; by default eval/ in the run.
        limit: at most this many views a split; 0 means all.
        moved: where the run's own data are now.
        own_motion: pose it by its own motion on ``data`` too, which it was trained on before it was imported.
    """
    from surfhead.measuring.evaluation import evaluate

    folder = Path(run)
    config = at_home(read_config(folder), moved)
    if data is not None:
        config = replace(config, data=data_choice(data), path=str(Path(data).resolve()))
    opened = open_scene(config)
    avatar = load_avatar(folder, device=device)
    motion = None if data is None else motion_for(avatar, opened.scene, own_motion)
    target = out or folder / "eval" / f"{avatar.images:08d}"
    held_out = opened.dataset.held_out if config.hold_out is None else config.hold_out
    results = {}
    for split in splits:
        if len(opened.scene.views.of(split)):
            found = evaluate(
                avatar,
                opened.scene,
                split,
                motion=motion,
                folder=target,
                limit=limit,
                seen=data is None and not held_out,
            )
            found.write(target)
            results[split] = found
    if not results:
        raise DataError(f"The data set has no views in: {', '.join(splits)}.", "", "Choose another --split.")
    return results

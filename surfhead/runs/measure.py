"""Measures a run on its own data or on other data of the same rig."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from surfhead.avatars.precision import single_precision
from surfhead.avatars.scene_motion import motion_for
from surfhead.core.errors import DataError
from surfhead.core.registry import create
from surfhead.files.given import whole_number
from surfhead.files.places import path_text, place
from surfhead.runs.run import Run

if TYPE_CHECKING:
    from torch import Tensor

    from surfhead.avatars.avatar import Avatar
    from surfhead.core.scene import Scene
    from surfhead.measuring.evaluation import Evaluation

FITTED = "-fitted"  # after a split's name, of figures with its motion fitted to its pictures


@single_precision()
def evaluate_run(
    run: Run | Path | str,
    *,
    data: Path | str | None = None,
    splits: Sequence[str] = ("val", "test"),
    device: str = "auto",
    out: Path | str | None = None,
    limit: int = 0,
    own_motion: bool = False,
    moved: Path | str | None = None,
    fit_motion: int = 0,
) -> dict[str, Evaluation]:
    """Measure a run on its data (or other data of the same rig); writes tables and pictures.

    Args:
        run: a run, opened or its folder.
        data: another data set's folder.
        splits: which splits, or one; empty ones are left out.
        device: ``auto``, ``cpu``, ``cuda``.
        out: where to write; by default eval/ in the run.
        limit: at most this many views a split; 0 means all.
        moved: where the run's own data are now.
        own_motion: pose it by its own motion on ``data`` too, which it was trained on before it was imported.
        fit_motion: steps of a fit of each split's motion to its pictures (``fit_motion``), with which it is
            measured once more; 0: none.

    Returns:
        split -> its figures, each view's and their means, with the conventions they follow; of fitted motion
        as ``<split>-fitted``, whose folder also has the motion file ``<split>-fitted.npz``.

    Raises:
        DataError: no run, no checkpoint, no views in these splits, or no motion to fit.
        UnknownNameError: there is no such split.
        OptionError: a limit or a number of steps that is no whole number of at least 0.
    """
    splits = (splits,) if isinstance(splits, str) or not isinstance(splits, Iterable) else tuple(splits)
    limit = whole_number("limit", limit, 0, "Mend --limit; 0 means all.")
    steps = whole_number("fit_motion", fit_motion, 0, "Mend --fit-steps.")
    from surfhead.measuring.evaluation import evaluate

    if moved is not None or not isinstance(run, Run):
        run = Run(run.folder if isinstance(run, Run) else run, None if moved is None else path_text(moved))
    read = run.on(None if data is None else path_text(data))
    scene, avatar = read.scene, read.avatar(device)
    motion = motion_for(avatar, scene, own_motion) if read.other_data else None
    target = place(out) if out is not None else read.folder / "eval" / f"{avatar.images:08d}"
    if steps:
        from surfhead.measuring.motion_fit import stages_of

        stages_of(avatar, avatar.motion if motion is None else motion)  # what cannot be fitted is said first
    results = {}
    for split in splits:
        if len(scene.views.of(split)):
            seen = not read.other_data and not read.held_out
            measure = partial(evaluate, avatar, scene, split, folder=target, limit=limit, seen=seen)
            found = measure(motion=motion)
            found.write(target)
            results[split] = found
            if steps:
                name = f"{split}{FITTED}"
                results[name] = _fitted(measure, avatar, scene, motion, name, found, steps, target)
    if not results:
        said = f"The data set has no views in: {', '.join(splits)}." if splits else "No split was named."
        raise DataError(said, "Known: train, val, test, all.", "Choose another --split.")
    return results


def _fitted(
    measure: Callable[..., Evaluation],
    avatar: Avatar,
    scene: Scene,
    motion: Mapping[str, Tensor] | None,
    name: str,
    tracked: Evaluation,
    steps: int,
    folder: Path,
) -> Evaluation:
    """Fit the motion of the views that ``tracked`` measured, measure again, write motion and figures."""
    from surfhead.measuring.motion_fit import fit_motion

    places = {view: index for index, view in enumerate(scene.views.names)}
    views = [places[row["view"]] for row in tracked.rows]
    fit = fit_motion(avatar, scene, views, motion, steps=steps, what=f"the motion of {tracked.split}")
    found = measure(motion=fit.motion, called=name)
    found = replace(found, fitted_steps=steps, notes=(*found.notes, fit.note))
    posed = copy.copy(avatar)
    posed.motion = fit.motion
    create("format", "motion").write(posed, folder / f"{name}.npz")
    found.write(folder)
    return found

"""Measures a run on its own data or on other data of the same rig."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from surfhead.avatars.precision import single_precision
from surfhead.avatars.scene_motion import motion_for
from surfhead.core.errors import DataError
from surfhead.files.given import whole_number
from surfhead.files.places import path_text, place
from surfhead.runs.run import Run

if TYPE_CHECKING:
    from surfhead.measuring.evaluation import Evaluation


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

    Returns:
        split -> its figures, each view's and their means, with the conventions they follow.

    Raises:
        DataError: no run, no checkpoint, or no views in these splits.
        UnknownNameError: there is no such split.
        OptionError: a limit that is no whole number of at least 0.
    """
    splits = (splits,) if isinstance(splits, str) or not isinstance(splits, Iterable) else tuple(splits)
    limit = whole_number("limit", limit, 0, "Mend --limit; 0 means all.")
    from surfhead.measuring.evaluation import evaluate

    if moved is not None or not isinstance(run, Run):
        run = Run(run.folder if isinstance(run, Run) else run, None if moved is None else path_text(moved))
    read = run.on(None if data is None else path_text(data))
    scene, avatar = read.scene, read.avatar(device)
    motion = motion_for(avatar, scene, own_motion) if read.other_data else None
    target = place(out) if out is not None else read.folder / "eval" / f"{avatar.images:08d}"
    results = {}
    for split in splits:
        if len(scene.views.of(split)):
            found = evaluate(
                avatar,
                scene,
                split,
                motion=motion,
                folder=target,
                limit=limit,
                seen=not read.other_data and not read.held_out,
            )
            found.write(target)
            results[split] = found
    if not results:
        said = f"The data set has no views in: {', '.join(splits)}." if splits else "No split was named."
        raise DataError(said, "Known: train, val, test, all.", "Choose another --split.")
    return results

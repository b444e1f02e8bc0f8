"""The refined motion of a tracked clip, kept in the clip's folder beside what tracking gave.

The file's name tells the plan and the version that made it, its content the tracking that it began from:
tracking is never done anew for its sake, and what does not fit is made again.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from surfhead.core.api import DataError
from surfhead.data.opening import Opened
from surfhead.files import bounds
from surfhead.files.writing import beside
from surfhead_video.fitted_head import Detections, reprojection
from surfhead_video.landmark_places import landmark_places
from surfhead_video.refinement import Plan, Refined, Report, refine_motion
from surfhead_video.rig_motion import RigMotion, camera_pose, fit_with
from surfhead_video.tracking import Tracked

VERSION = 1
"""Counts changes of what a refinement gives: what another version kept is made anew."""
MOTION = "motion/"
log = logging.getLogger("surfhead")


def refined_file(tracked: Tracked, plan: Plan) -> Path:
    """Where the refined motion of a tracked clip is kept."""
    parts = json.dumps({"version": VERSION, **asdict(plan)}, sort_keys=True)
    return tracked.folder / f"refined-{hashlib.sha256(parts.encode()).hexdigest()[:12]}.npz"


def read_refined(tracked: Tracked, plan: Plan, rig: Any) -> Tracked | None:
    """A tracked clip with its refined motion; None where none is kept that can be used.

    Args:
        tracked: the clip, not refined.
        plan: how it was to be refined.
        rig: of kind ``ict``; is prepared for the clip's identity.
    """
    count = len(tracked.number)
    shapes: dict[str, tuple[int, ...]] = {
        MOTION + name: (count, parameter.size) for name, parameter in rig.parameters().items()
    }
    shapes["error"] = (count,)
    try:
        with (
            bounds.regular(refined_file(tracked, plan)).open("rb") as kept,
            np.load(bounds.archive(kept), allow_pickle=False) as file,
        ):
            made = {name: file[name] for name in (*shapes, "begun", "seconds")}
        if str(made["begun"]) != _begun(tracked):
            return None
        if any(
            made[name].shape != shape or not np.isfinite(made[name]).all() for name, shape in shapes.items()
        ):
            return None
        seconds = {str(stage): [float(each) for each in value] for stage, value in _read(made["seconds"])}
        motion = {
            name.removeprefix(MOTION): torch.from_numpy(made[name].astype(np.float32))
            for name in shapes
            if name != "error"
        }
    except Exception:  # whatever is wrong with it, it can be made again
        return None
    return _joined(tracked, motion, seconds, rig, made["error"])


def _read(text: np.ndarray) -> list[tuple[Any, Any]]:
    return list(json.loads(str(text)).items())


def make_refined(
    tracked: Tracked,
    opened: Opened,
    plan: Plan,
    rig: Any,
    device: str = "auto",
    report: Report | None = None,
) -> Tracked:
    """Refine the motion of a tracked clip, and keep it. Raises what ``refine_motion`` does.

    Args:
        tracked: the clip, not refined.
        opened: the same as a data set.
        rig: of kind ``ict``; is prepared for the clip's identity.
        plan, device, report: see ``refine_motion``.
    """
    refined = refine_motion(opened, plan, device, report)
    made = with_motion(tracked, refined, rig)
    arrays: dict[str, Any] = {MOTION + name: rows.numpy() for name, rows in refined.motion.items()}
    arrays |= {
        "error": made.error,
        "losses": refined.losses,
        "seconds": np.array(json.dumps(refined.seconds)),
    }
    try:
        with beside(refined_file(tracked, plan)) as temporary:
            np.savez_compressed(temporary, begun=np.array(_begun(tracked)), **arrays)
    except DataError as error:  # a full disk, say: it is made again at the next opening
        log.warning("The refined motion is not kept: %s", error)
    return made


def _begun(tracked: Tracked) -> str:
    """A hash of the fit that a refinement begins from."""
    fit, digest = tracked.fit, hashlib.sha256()
    moving = (fit.rotation, fit.translation, fit.expression, fit.gaze, tracked.time)
    for values in (fit.focal, fit.shape, fit.person, *moving):
        digest.update(np.ascontiguousarray(values, np.float64).tobytes())
    return digest.hexdigest()


def with_motion(tracked: Tracked, refined: Refined, rig: Any) -> Tracked:
    """A tracked clip with a refined motion. Pictures and masks stay.

    Args:
        tracked: the clip, not refined.
        refined: its motion.
        rig: of kind ``ict``; is prepared for the clip's identity.
    """
    places = landmark_places(rig)
    made = _joined(tracked, refined.motion, refined.seconds, rig, tracked.error)
    count = len(tracked.number)
    found = Detections(
        *(tracked.landmarks.astype(np.float64), np.zeros((count, 0)), np.tile(np.eye(4), (count, 1, 1))),
        *(tracked.time, *tracked.whole),
    )
    return replace(made, error=reprojection(places, made.fit, found))


def _joined(
    tracked: Tracked,
    parameters: Mapping[str, torch.Tensor],
    seconds: Mapping[str, list[float]],
    rig: Any,
    error: np.ndarray,
) -> Tracked:
    rig.prepare({"shape": torch.from_numpy(np.asarray(tracked.fit.shape)).float()})
    motion = RigMotion(parameters, camera_pose(tracked.fit))
    fit = fit_with(tracked.fit, motion, rig)
    return replace(tracked, fit=fit, error=error, motion=motion, seconds={**tracked.seconds, **seconds})

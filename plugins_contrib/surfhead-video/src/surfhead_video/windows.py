"""The fit of clips of any length: what the clip shares from some of its frames, then window by window.

Short clips are fitted at once. For longer ones, focal length and identity come from evenly spread short
runs of frames; with them known, windows that overlap are fitted one after the other, so that memory stays the
same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from surfhead_video.fitted_head import Detections, Fit
from surfhead_video.head_fit import Priors, Problem, solve, starting_fit
from surfhead_video.landmark_places import LandmarkPlaces

LONGEST = 360  # frames fitted at once
OVERLAP = 30
RUN = 12  # frames in a row, of those that tell what the clip shares
STEPS, STEPS_KNOWN = 60, 12


def fit_clip(
    places: LandmarkPlaces,
    found: Detections,
    priors: Priors,
    report: Callable[[int, int], None] | None = None,
) -> Fit:
    """The head in every frame.

    Args:
        places: the landmarks on the head.
        found: what was detected.
        priors: what is believed.
        report: called with frames done and to do.
    """
    tell = report or (lambda done, total: None)
    total = len(found)

    def first(done: int, steps: int) -> None:
        tell(done * min(total, LONGEST) // steps, total if total <= LONGEST else total + LONGEST)

    if total <= LONGEST:
        return solve(places, found, priors, starting_fit(places, found, priors), steps=STEPS, report=first)
    runs = LONGEST // RUN
    starts = np.linspace(0, total - RUN, runs).astype(int)
    rows = np.unique((starts[:, None] + np.arange(RUN)).ravel())
    some = found.part(rows)
    common = solve(places, some, priors, starting_fit(places, some, priors), steps=STEPS, report=first)
    shared = (common.focal, common.shape)
    # what scores err by everywhere is known with them
    found = replace(found, scores=found.scores + Problem(places, some, priors, free=True).habit(common))
    parts: list[Fit] = []
    done = 0
    while done < total:
        begin, end = max(done - OVERLAP, 0), min(done + LONGEST - OVERLAP, total)
        if total - end < OVERLAP:
            end = total
        window = found.part(slice(begin, end))
        start = replace(starting_fit(places, window, priors, shared), person=common.person)
        fit = solve(places, window, priors, start, free=False, steps=STEPS_KNOWN)
        back = OVERLAP // 2 if begin else 0  # half of the overlap is taken from either window
        if back:
            parts[-1] = parts[-1].part(slice(None, -back))
        parts.append(fit.part(slice(done - begin - back, None)))
        done = end
        tell(LONGEST + done, total + LONGEST)
    return replace(
        common,
        rotation=np.concatenate([part.rotation for part in parts]),
        translation=np.concatenate([part.translation for part in parts]),
        expression=np.concatenate([part.expression for part in parts]),
        gaze=np.concatenate([part.gaze for part in parts]),
    )

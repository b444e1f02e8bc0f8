"""Whether a clip lies on its side or stands on its head: found out by turning some of its frames.

A camera that was held on its side and did not write so, a person who lies: the detector then finds no face in
most frames, or finds it and gives it a roll of a quarter turn. Both cost landmarks their accuracy, and an
avatar of a lying head lies, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from surfhead.core.api import DataError
from surfhead_video.clip import ClipFrame, turned
from surfhead_video.detection import Found, look
from surfhead_video.landmarker import SETTING, Landmarker

TURNS = (0, 90, 180, 270)  # degrees clockwise
FACELESS = 0.25  # share of the frames from which on a clip is suspected
LEVEL = 45.0  # degrees of roll up to which a head is upright
PROBES = 12  # frames that are turned
GAIN = 0.25  # of them: so many more faces must be upright than without a turn


def refuse_lying(
    path: Path,
    frames: Callable[[], Iterator[ClipFrame]],
    found: Found,
    landmarker: Landmarker,
    already: int = 0,
    setting: str = SETTING,
) -> None:
    """Raise DataError, with the turn that helps, for a clip whose heads are upright once it is turned.

    Args:
        path: of the clip.
        frames: gives all its frames again, turned as they were detected.
        found: what was detected.
        landmarker: any.
        already: degrees clockwise by which the frames are turned.
        setting: how the command in hand is given an option.
    """
    if not suspect(found):
        return
    upright = upright_by_turn(frames(), found.frames, landmarker)
    best = max(TURNS, key=lambda turn: upright[turn])
    tried = min(PROBES, found.frames)
    if 2 * upright[best] < tried or upright[best] < upright[0] + max(GAIN * tried, 1):
        return
    lies = "stands on its head" if best == 180 else "lies on its side"
    raise DataError(
        f'"{path}" {lies}: of {tried} frames tried, {upright[0]} show an upright face as they are, '
        f"{upright[best]} turned by {best}° clockwise.",
        "Expected frames in which the head is upright, by themselves or by the clip's metadata.",
        f"Add {setting.format('turn', (already + best) % 360)}, or turn the clip itself.",
    )


def suspect(found: Found) -> bool:
    """Whether many frames have no face, or most of the faces lie."""
    if found.frames == 0:
        return False
    if found.faceless > FACELESS * found.frames:
        return True
    return len(found) > 0 and float(np.median(np.abs(roll(found.pose)))) > LEVEL


def upright_by_turn(frames: Iterator[ClipFrame], count: int, landmarker: Landmarker) -> dict[int, int]:
    """How many of some frames show an upright face, by degrees clockwise by which they are turned."""
    places = np.linspace(0, count - 1, min(PROBES, count)).round().astype(int)
    wanted, upright = set(places.tolist()), dict.fromkeys(TURNS, 0)
    given: Any = frames
    with closing(given):
        for at, frame in enumerate(frames):
            if at not in wanted:
                continue
            for turn in TURNS:
                faces = look(replace(frame, picture=turned(frame.picture, turn)), landmarker).faces
                upright[turn] += bool(faces) and abs(float(roll(faces[0].pose))) < LEVEL
            if at == places[-1]:
                break
    return upright


def roll(pose: np.ndarray) -> np.ndarray:
    """(...,) degrees by which heads of poses (..., 4, 4) are turned in the picture, counter-clockwise."""
    return np.asarray(np.degrees(np.arctan2(pose[..., 1, 0], pose[..., 0, 0])))

"""Why a tracked clip deserves little confidence, and what to film better."""

from __future__ import annotations

import numpy as np

from surfhead_video.counts import counted
from surfhead_video.detection import Found
from surfhead_video.fitted_head import Fit

FEW = 100  # frames
SHORT = 10.0  # seconds in which hardly anybody shows all sides and expressions
DARK = 0.12  # grey value of 1 below which a face is called dark


def doubts(found: Found, fit: Fit, error: np.ndarray) -> list[str]:
    """Reasons for low confidence, and what to film better."""
    from scipy.spatial.transform import Rotation

    turns = Rotation.from_matrix(fit.rotation)
    swing = np.degrees((turns.mean().inv() * turns).as_rotvec())
    reach = np.percentile(swing[:, 1], 97.5) - np.percentile(swing[:, 1], 2.5)
    notes = []
    if reach < 20:
        notes.append(
            f"The head turns by {reach:.0f}° from side to side: focal length and the face's depth are "
            "guesses. Turn the head slowly from shoulder to shoulder."
        )
    if float(np.median(error)) > 0.03:
        notes.append(
            f"Landmarks miss the fitted head by {100 * np.median(error):.1f} % of the eyes' distance. Film "
            "in more light, nearer, without glasses or hair over the face."
        )
    side = float(np.median(np.sqrt(np.prod(np.ptp(found.landmarks, axis=1), axis=1))))
    if side < 100:
        notes.append(f"The face is {side:.0f} pixels large. Go nearer, or film in a higher resolution.")
    if found.brightness < DARK:
        notes.append(
            f"The face is dark, {100 * found.brightness:.0f} % of white: noise hides the skin, and poses are "
            "rough. Film in more light."
        )
    seconds = usable_seconds(found.time)
    if len(found) < FEW or seconds < SHORT:
        notes.append(
            f"Only {counted(len(found), 'frame', 'is', 'are')} used, {seconds:.1f} seconds of the clip. "
            "Film half a minute or more."
        )
    return notes


def usable_seconds(time: np.ndarray) -> float:
    """Seconds that frames at these times stand for; gaps of frames left out do not count."""
    return len(time) * float(np.median(np.diff(time))) if len(time) > 1 else 0.0

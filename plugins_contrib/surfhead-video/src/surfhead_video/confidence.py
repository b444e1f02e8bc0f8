"""Why a tracked clip deserves little confidence, and what to film better."""

from __future__ import annotations

import numpy as np

from surfhead_video.detection import Found
from surfhead_video.fitted_head import Fit

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
    if len(found) < 100:
        notes.append(f"Only {len(found)} frames are used. Film half a minute or more.")
    return notes

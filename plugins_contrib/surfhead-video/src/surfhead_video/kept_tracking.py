"""Whether what the cache holds of a tracked clip can be used; a damaged file is made again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from surfhead_video.tracking import Tracked

LONGEST = 100_000  # pixels of a side


def fits(tracked: Tracked) -> bool:
    """Whether its arrays are finite, of one length, and of a camera and pictures that can be."""
    fit, count = tracked.fit, len(tracked.number)
    rows = (fit.rotation, fit.translation, fit.expression, fit.gaze, tracked.time)
    numbers = (
        fit.focal,
        fit.shape,
        fit.person,
        tracked.box,
        tracked.size,
        tracked.whole,
        tracked.number,
        *rows,
    )
    sizes = (tracked.size, tracked.whole)
    return bool(
        count > 0
        and all(len(values) == count for values in (*rows, tracked.landmarks, tracked.error))
        and all(np.isfinite(np.asarray(values, np.float64)).all() for values in numbers)
        and fit.rotation.shape[1:] == (3, 3)
        and fit.translation.shape[1:] == (3,)
        and all(len(size) == 2 and 0 < min(size) <= max(size) < LONGEST for size in sizes)
        and len(tracked.box) == 4
        and fit.focal > 0
    )

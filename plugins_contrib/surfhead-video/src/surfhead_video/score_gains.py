"""What a rise of an ARKit score tells of an ICT expression: a table made by `benchmarks/measure_scores.py`.

MediaPipe's scores are no ICT coefficients: some hardly answer to the shape of their name (noses, cheeks),
some rise by other expressions and looks more than by their own (squints, inner brows, lips pressed). The gain
of a score is what its expression rises by, on average over drawn people in many poses, where it rises by 1:
near 1 where it can be believed, near 0 where it tells nothing.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

TABLE = "score_gains.npz"


def score_gains(names: tuple[str, ...], table: Path | None = None) -> np.ndarray:
    """(K,) gain of each of the head's expressions; 1 for those that the table does not know.

    Args:
        names: the head's K expressions.
        table: another table than the package's.
    """
    source: Any = table or files("surfhead_video").joinpath(TABLE)
    with source.open("rb") as file, np.load(file, allow_pickle=False) as content:
        rows = zip(content["names"].tolist(), content["gain"].tolist(), strict=True)
        known = {str(name): float(gain) for name, gain in rows if np.isfinite(gain) and gain >= 0}
    return np.array([known.get(name, 1.0) for name in names])

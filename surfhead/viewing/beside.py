"""Two runs in one picture: beside each other, or one left and one right of a line."""

from __future__ import annotations

import numpy as np

ALONE, SIDES, LINE = "alone", "side by side", "left and right of a line"
WAYS = (ALONE, SIDES, LINE)
LINE_COLOUR = (255, 160, 0)


def joined(left: np.ndarray, right: np.ndarray, way: str, share: float = 0.5) -> np.ndarray:
    """Two pictures of the same size (H, W, 3) uint8 as one.

    Args:
        left, right: the pictures.
        way: ``SIDES``, their middles beside each other, or ``LINE``, each where it is.
        share: of the width that is the left one's.
    """
    width = left.shape[1]
    edge = round(share * width)
    if way == LINE:
        made = np.concatenate([left[:, :edge], right[:, edge:]], axis=1)
    else:
        first, second = (width - edge) // 2, edge // 2
        made = np.concatenate(
            [left[:, first : first + edge], right[:, second : second + width - edge]], axis=1
        )
    if 0 < edge < width:
        made[:, edge - 1 : edge + 1] = LINE_COLOUR
    return made

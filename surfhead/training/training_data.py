"""What is trained on: the views of a scene that are shown, and its size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from surfhead.core.scene import Scene


@dataclass(frozen=True)
class TrainingData:
    """What is trained on.

    Attributes:
        scene: the data set.
        views: (N,) indices of the views that are shown; the others are kept for measuring.
        extent: radius of what the cameras surround, metres, which scales rates and densifying.
    """

    scene: Scene
    views: np.ndarray
    extent: float

"""An avatar as it comes out of a file: arrays and names, before a rig and components are made for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class StoredAvatar:
    """What a format found.

    Attributes:
        parameters: name -> (N, ...) float32 raw per-surfel parameters.
        triangle: (N,) int64 host triangles, -1 without a rig.
        rig: registered name of the rig they are bound to, ``none`` without one.
        rig_options: that rig's options, where the file knows them.
        motion: name -> (T, d) float32 rig parameters; empty where the file has none.
        identity: name -> tensor.
        network: the appearance model's state, empty where there is none.
        components: kind -> {"name": ..., "options": {...}} for ``deformer`` and ``appearance``.
        background: RGB in [0, 1].
        images: training images it has seen.
        neighbour_order: whose the blend weights after the host's are: the triangles across the host's edges
            in the order v0v1, v1v2, v2v0 (``edge``), or the same by rising number (``index``).
        dataset: registered name of the reader of what such avatars are trained on; empty: untold.
        notes: what was converted or lost, in sentences.
    """

    parameters: Mapping[str, np.ndarray]
    triangle: np.ndarray
    rig: str
    rig_options: Mapping[str, Any] = field(default_factory=dict)
    motion: Mapping[str, Tensor] = field(default_factory=dict)
    identity: Mapping[str, Tensor] = field(default_factory=dict)
    network: Mapping[str, Tensor] = field(default_factory=dict)
    components: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    background: tuple[float, float, float] = (1.0, 1.0, 1.0)
    images: int = 0
    neighbour_order: str = "edge"
    dataset: str = ""
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.triangle)

"""Whether data that were moved are the same: a fingerprint of their views and of some of their pictures."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from surfhead.core.errors import DataError
from surfhead.core.scene import Scene

PICTURES = 4  # decoded, evenly spread over the views


def data_fingerprint(scene: Scene) -> str:
    """A hash of every view's name, camera and timestep, and of the pixels of ``PICTURES`` of them."""
    views, digest = scene.views, hashlib.sha256()
    digest.update(repr((views.height, views.width, list(views.names))).encode("utf-8", "replace"))
    for values in (views.camera, views.timestep, views.intrinsics, views.camera_from_world):
        digest.update(np.ascontiguousarray(values).tobytes())
    for view in sorted({len(views) * k // PICTURES for k in range(PICTURES)} if len(views) else ()):
        digest.update(np.ascontiguousarray(scene.frame(view).image).tobytes())
    return digest.hexdigest()[:32]


def check_same_data(scene: Scene, known: Any, path: str, run: Path) -> None:
    """Raise DataError unless the data at ``path`` have the fingerprint that a run's checkpoint knows."""
    if not known:
        raise DataError(
            f'Whether the data in "{path}" are those of "{run}" cannot be told: its checkpoint is too old.',
            "Expected a checkpoint that knows its data's fingerprint.",
            "Put the data where they were, or start a new run from it with --from.",
        )
    if known != data_fingerprint(scene):
        raise DataError(
            f'The data in "{path}" are not those that "{run}" was trained on.',
            "Expected the same views and pictures at another place.",
            "Give the folder that was moved, or start a new run from this one with --from.",
        )

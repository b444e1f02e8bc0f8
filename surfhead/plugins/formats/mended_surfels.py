"""Surfels of other tools' files, made fit for use: what cannot be drawn is left out and counted."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from surfhead.core.api import DataError

FLAT = -20.0  # log of a scale of 0, in metres of no account
OPAQUE = 15.0  # logit of an opacity of 1 but for a float's rounding; infinite logits become plus or minus it
_wrong = partial(
    DataError.of,
    "PLY file",
    expected="at least one",
    remedy="Check that it is the point_cloud.ply of a finished training.",
)


def mended(
    path: Path, arrays: dict[str, np.ndarray], triangle: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray, list[str]]:
    """Surfels without NaN, infinity or zero rotations, their triangles, and what was done, in sentences.

    Args:
        path: of the file, for messages.
        arrays: name -> (N, ...), raw parameters; ``opacity`` as logits.
        triangle: (N,) hosts.

    Raises:
        DataError: no surfel is left.
    """
    notes = []
    count = len(triangle)
    if count == 0:
        raise _wrong(path, "has no surfels")
    arrays = dict(arrays)
    flat = np.isneginf(arrays["log_scale"])
    if flat.any():
        arrays["log_scale"] = np.where(flat, np.float32(FLAT), arrays["log_scale"])
        notes.append(f"{int(flat.sum())} scales were 0.")
    infinite = np.isinf(arrays["opacity"])
    if infinite.any():
        arrays["opacity"] = arrays["opacity"].clip(-OPAQUE, OPAQUE)
        notes.append(f"{int(infinite.sum())} opacities were infinite and became {OPAQUE:g} or {-OPAQUE:g}.")
    whole = np.ones(count, bool)
    for values in arrays.values():
        whole &= np.isfinite(values.reshape(count, -1)).all(axis=1)
    turned = (arrays["quaternion"] != 0).any(axis=1)
    for kept, what in ((whole, "held NaN or infinity"), (turned | ~whole, "had a rotation of zero")):
        if not kept.all():
            notes.append(f"{int((~kept).sum())} of {count} surfels {what} and are left out.")
    kept = whole & turned
    if not kept.any():
        raise _wrong(path, "has no surfel that can be drawn: all hold NaN, infinity or zero rotations")
    if not kept.all():
        arrays, triangle = {name: values[kept] for name, values in arrays.items()}, triangle[kept]
    return arrays, triangle, notes

"""One pose as a file: a motion of one timestep."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping

import numpy as np
from torch import Tensor


def pose_npz(pose: Mapping[str, Tensor]) -> bytes:
    """Rig parameters (1, d) under the rig's names, as an ``.npz`` that the format ``motion`` reads."""
    file = io.BytesIO()
    rows = {name: value.detach().float().cpu().numpy() for name, value in pose.items()}
    np.savez(file, allow_pickle=False, **rows)
    return file.getvalue()


def pose_json(pose: Mapping[str, Tensor]) -> str:
    """Rig parameters as JSON, name -> list of d numbers."""
    rows = {name: [float(f"{number:.6g}") for number in value[0].tolist()] for name, value in pose.items()}
    return json.dumps(rows, indent=2) + "\n"

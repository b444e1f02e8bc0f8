"""3D Gaussian splatting's PLY files (Kerbl et al., SIGGRAPH 2023): one pose, for viewers and game engines.

    surfhead export RUN --format 3dgs --timestep 10

Surfels become Gaussians a micrometre thick. Highlights have no place in the layout and are left out;
harmonics are padded to degree 3 and turned into world directions.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from surfhead.core.api import AvatarView, Format, Pose
from surfhead.plugins.formats.point_cloud import write_points
from surfhead.plugins.formats.posed import posed

THICKNESS = 1e-6  # metres, one standard deviation


class Splats3dgs(Format):
    """Writes flat Gaussians for viewers of 3D Gaussian splatting."""

    name = "3dgs"
    summary = "3D Gaussian splatting: flat Gaussians of one pose, for viewers and engines."
    suffixes = (".ply",)
    writes = True

    def write(
        self, avatar: AvatarView, path: Path, *, timestep: int | None = None, parameters: Pose | None = None
    ) -> list[Path]:
        """Write one pose; gives the file. Raises OptionError where both are given, or no such timestep is."""
        arrays = posed(avatar, timestep, parameters)
        arrays["log_scale"] = np.pad(
            arrays["log_scale"], ((0, 0), (0, 1)), constant_values=math.log(THICKNESS)
        )
        write_points(path, arrays)
        return [path]

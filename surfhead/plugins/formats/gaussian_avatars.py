"""GaussianAvatars' files (Qian et al., CVPR 2024): Gaussians in the local frames of FLAME's triangles.

Written: ``point_cloud.ply`` with three scales (the third is 1e-6 of the triangle) and ``binding_0``, in
GaussianAvatars' triangle frame, with ``flame_param.npz`` beside it. Highlights and blend weights have no
place there, and its rig turns and scales surfels where ours may also shear them. Light is baked: colours of
an appearance without harmonics are those seen head on in the first timestep. Format ``surfhead`` reads these
files.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from surfhead.core.api import AvatarView, DataError, Format, Pose
from surfhead.plugins.formats.axes import to_gaussian_avatars
from surfhead.plugins.formats.point_cloud import refuse, write_points
from surfhead.plugins.formats.posed import posed
from surfhead.plugins.formats.tracked import write_tracked

THINNEST = math.log(1e-6)
KEPT = ("offset", "log_scale", "quaternion", "opacity", "sh_dc", "sh_rest")


class GaussianAvatars(Format):
    """Writes avatars for GaussianAvatars' viewers."""

    name = "gaussian-avatars"
    summary = "GaussianAvatars' point_cloud.ply and flame_param.npz, for its viewers."
    suffixes = (".ply",)
    writes = True

    def write(
        self, avatar: AvatarView, path: Path, *, timestep: int | None = None, parameters: Pose | None = None
    ) -> list[Path]:
        """Write the avatar; gives the files. Raises DataError when it has no rig."""
        refuse(self.name, timestep, parameters)
        if bool((avatar.surfels.triangle < 0).any()):
            raise DataError(
                "The avatar is bound to no triangles.", "Expected a rig.", "Export 2dgs or 3dgs instead."
            )
        arrays = {name: value.detach().cpu().numpy() for name, value in avatar.surfels.parameters.items()}
        arrays = {name: value for name, value in arrays.items() if name in KEPT}
        if "sh_dc" not in arrays:  # the format knows no light
            shown = posed(avatar)
            arrays |= {name: shown[name] for name in ("sh_dc", "sh_rest")}
        arrays["offset"], arrays["quaternion"] = to_gaussian_avatars(arrays["offset"], arrays["quaternion"])
        arrays["log_scale"] = np.pad(arrays["log_scale"], ((0, 0), (0, 1)), constant_values=THINNEST)
        arrays["triangle"] = avatar.surfels.triangle.cpu().numpy()
        write_points(path, arrays)
        tracked = path.with_name("flame_param.npz")
        write_tracked(tracked, avatar.motion, avatar.identity)
        return [path, tracked]

"""2D Gaussian splatting's PLY files (Huang et al., SIGGRAPH 2024): one pose, world coordinates.

    surfhead export RUN --format 2dgs --timestep 10

Highlights have no place in the layout and are left out; harmonics are turned into world directions.
"""

from __future__ import annotations

from pathlib import Path

from surfhead.core.api import AvatarView, Format, Pose
from surfhead.plugins.formats.point_cloud import write_points
from surfhead.plugins.formats.posed import posed


class Splats2dgs(Format):
    """Writes surfels for viewers of 2D Gaussian splatting."""

    name = "2dgs"
    summary = "2D Gaussian splatting: surfels of one pose in world coordinates."
    suffixes = (".ply",)
    writes = True

    def write(
        self, avatar: AvatarView, path: Path, *, timestep: int | None = None, parameters: Pose | None = None
    ) -> list[Path]:
        """Write one pose; gives the file. Raises OptionError where both are given, or no such timestep is."""
        write_points(path, posed(avatar, timestep, parameters), ("SplatRenderMode: 2dgs",))
        return [path]

"""Motion files: rig parameters over time in one ``.npz``, to drive an avatar with.

Fields ``expr``, ``rotation``, ``neck_pose``, ``jaw_pose``, ``eyes_pose``, ``translation``, each (T, ...), as
FLAME trackers write them, or a rig's own names; any length. One row stands for the whole motion. FLAME
expressions of fewer than 100 coefficients are padded with zeros.

Of FLAME's trackers, the names of DECA and EMOCA (``exp``, ``pose``; ``expcode``, ``posecode``), SMIRK
(``expression_params``, ``pose_params``, ``jaw_params``) and metrical-tracker (``exp``, ``R``, ``t``) are
taken, too; rotations as axis-angles, 6D (the first two rows) or matrices; a leading axis of 1 is dropped.
VHAP's own ``tracked_flame_params`` file is read as it is; what is no motion in it is named and left out. An
``.npy`` is (T, d): expressions (50 or 100), with the jaw (53, 103) or head and jaw (56, 106) after them.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO

from surfhead.core.api import AvatarView, DataError, Format, OptionError, Pose
from surfhead.core.api import Motion as Moved
from surfhead.plugins.formats.point_cloud import refuse
from surfhead.plugins.formats.tracked import read_motion, write_tracked


class Motion(Format):
    """Reads a motion, writes an avatar's own."""

    name = "motion"
    summary = "Motion files (.npz, .npy): rig parameters over time."
    suffixes = (".npz", ".npy")
    reads = True
    writes = True

    def read(self, path: Path | IO[bytes]) -> Moved:
        """The motion in a file, or in a stream with a ``name``. Raises DataError naming it and the field."""
        return Moved(read_motion(path, flame=None))

    def write(
        self, avatar: AvatarView, path: Path, *, timestep: int | None = None, parameters: Pose | None = None
    ) -> list[Path]:
        """Write the motion the avatar was trained on. Raises DataError when it has none."""
        refuse(self.name, timestep, parameters)
        if path.suffix.lower() not in self.suffixes:
            raise OptionError(
                f'Motion file "{path}" could not be read back: its name says no motion.',
                f"Expected an ending of {', '.join(self.suffixes)}.",
                "Mend --out.",
            )
        if not avatar.motion:
            raise DataError("The avatar has no motion.", "Expected a rig.", "Export another format.")
        write_tracked(path, avatar.motion, {}, flame=avatar.rig.name == "flame")
        return [path]

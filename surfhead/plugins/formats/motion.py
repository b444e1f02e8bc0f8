"""Motion files: rig parameters over time in one ``.npz``, to drive an avatar with.

Fields ``expr``, ``rotation``, ``neck_pose``, ``jaw_pose``, ``eyes_pose``, ``translation``, each (T, ...), as
FLAME trackers write them, or a rig's own names; any length. One row stands for the whole motion. FLAME
expressions of fewer than 100 coefficients are padded with zeros.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import numpy as np

from surfhead.core.api import AvatarView, DataError, Format
from surfhead.core.api import Motion as Moved
from surfhead.plugins.formats.point_cloud import refuse
from surfhead.plugins.formats.tracked import FIELDS, Source, opened, read_motion, write_tracked


class Motion(Format):
    """Reads a motion, writes an avatar's own."""

    name = "motion"
    summary = "Motion files (.npz): rig parameters over time."
    suffixes = (".npz",)
    reads = True
    writes = True

    def read(self, path: Path | IO[bytes]) -> Moved:
        """The motion in a file, or in a stream with a ``name``. Raises DataError naming it and the field."""
        return Moved(read_motion(path, flame=self._is_flame(path)))

    @staticmethod
    def _is_flame(path: Source) -> bool:
        """Whether fields have names that only FLAME's trackers use."""
        try:
            with opened(path) as file, np.load(file, allow_pickle=False) as archive:
                return bool({field for field, name in FIELDS.items() if field != name} & set(archive.files))
        except Exception:  # what is wrong with the file is said where it is read
            return True

    def write(self, avatar: AvatarView, path: Path, **settings: Any) -> list[Path]:
        """Write the motion the avatar was trained on. Raises DataError when it has none."""
        refuse(settings, self.name)
        if not avatar.motion:
            raise DataError("The avatar has no motion.", "Expected a rig.", "Export another format.")
        write_tracked(path, avatar.motion, {}, flame=avatar.rig.name == "flame")
        return [path]

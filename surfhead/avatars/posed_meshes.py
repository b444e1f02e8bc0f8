"""The rig's meshes at timesteps whose pose does not learn, made once for a whole training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from surfhead.core.components import Rig
from surfhead.core.types import Mesh

if TYPE_CHECKING:
    from surfhead.avatars.avatar import Avatar

ROOM = 256 << 20  # bytes of meshes with what deformers make of them; timesteps beyond it are posed each time
BESIDE = 4  # times a mesh's triangles' own numbers: what `ops.pose_triangles` and its likes remember of it
NUMBERS = 10  # of a triangle, a rotation and a stretch


class PosedMeshes:
    """Meshes by timestep, on a CPU alone, where posing costs as much as a term of the loss.

    A GPU poses in a captured graph, which decides nothing by a timestep.

    Args:
        avatar: whose rig and motion they are of. Nothing is remembered while either learns.
    """

    def __init__(self, avatar: Avatar) -> None:
        self._avatar = avatar
        self._meshes: dict[int, Mesh] = {}
        self._rig: Rig | None = None  # what the meshes follow from, with how often each was changed in place
        self._motion: list[tuple[Tensor, int]] = []

    def at(self, timesteps: Tensor) -> Mesh | None:
        """The mesh of a single timestep (1,) int64; None where it has to be posed anew for each step."""
        avatar = self._avatar
        motion = list(avatar.motion.values())
        if avatar.shaping or not avatar.deformer.rig_bound or not motion or len(timesteps) != 1:
            return None
        if any(value.requires_grad or value.is_cuda for value in motion):
            return None
        if not self._follow(motion):
            self._meshes, self._rig = {}, avatar.rig
            self._motion = [(value, value._version) for value in motion]
        timestep = int(timesteps)
        found = self._meshes.get(timestep)
        if found is None:
            found = avatar.rig(avatar.poses(timesteps))
            if found.vertices.requires_grad:
                return None
            if (len(self._meshes) + 1) * _bytes(found) <= ROOM:
                self._meshes[timestep] = found
        return found

    def _follow(self, motion: list[Tensor]) -> bool:
        """Whether the meshes are of the avatar's rig and of this motion."""
        alike = self._avatar.rig is self._rig and len(motion) == len(self._motion)
        pairs = zip(motion, self._motion, strict=alike)
        return alike and all(now is then and now._version == version for now, (then, version) in pairs)


def _bytes(mesh: Mesh) -> int:
    each = mesh.vertices.numel() + BESIDE * NUMBERS * len(mesh.topology.triangles)
    return each * mesh.vertices.element_size()

"""The rig's own mesh of an avatar in a pose, with a texture of what its fused surface shows."""

from __future__ import annotations

import torch

from surfhead.avatars.avatar import Avatar
from surfhead.meshes.surface_mesh import SurfaceMesh
from surfhead.meshes.texture import TexturedMesh, bake, check_texture
from surfhead.results.mesh_extraction import Pose


def check(avatar: Avatar, size: int) -> None:
    """Raise OptionError where the avatar's rig has no texture coordinates, or for a size out of bounds."""
    topology = avatar.rig.rest().topology if avatar.deformer.rig_bound else None
    check_texture(topology, avatar.rig.name, size)


def textured(avatar: Avatar, pose: Pose, surface: SurfaceMesh, size: int) -> TexturedMesh:
    """The posed rig's mesh with base colour and normal map; errors as of ``check``.

    Args:
        pose: rig parameters, name -> (1, d).
        surface: of ``extract_mesh``, in the same pose.
        size: texels of a side.
    """
    check(avatar, size)
    with torch.no_grad():
        mesh = avatar.rig({name: rows.to(avatar.device) for name, rows in pose.items()})
    return bake(surface, mesh.vertices[0], mesh.rest.topology, size)

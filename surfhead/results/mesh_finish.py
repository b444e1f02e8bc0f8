"""What a fused surface still needs before it is taken away: see ``finished``."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.avatars.surfels import apply_field
from surfhead.meshes.mending import closed, cut_off, decimated, rim_plane, smoothed_where, watertight
from surfhead.meshes.surface_mesh import SurfaceMesh
from surfhead.terminal.bars import progress

SMALL_HOLE = 0.15  # metres round it: smaller ones are where no picture saw; a neck has half a metre and more
ABOVE_RIM = 0.010  # metres above the rim of the rig's mesh, near which surfels fade and the surface frays
UNSEEN_STEPS = 60  # of smoothing where nobody saw
NEAREST = 8  # surfels that say how well a vertex was seen


def finished(
    mesh: SurfaceMesh,
    avatar: Avatar,
    pose: Mapping[str, Tensor],
    *,
    components: int,
    cut: bool,
    close_all: bool,
    smooth_unseen: bool,
    triangles: int,
) -> SurfaceMesh:
    """A fused surface cut straight at the neck, its holes closed, smooth where unseen, of fewer triangles.

    The arguments are those of ``MeshSettings``.
    """
    with progress("Finishing the surface", 4) as advance:
        if cut and avatar.deformer.rig_bound:
            with torch.no_grad():
                posed = avatar.rig({name: rows.to(avatar.device) for name, rows in pose.items()})
            plane = rim_plane(posed.vertices[0].cpu(), posed.rest.topology.triangles.cpu(), ABOVE_RIM)
            if plane is not None:
                below = cut_off(mesh, *plane).largest(components)
                mesh = below if len(below.triangles) else mesh
        advance(1)
        mesh = closed(mesh, SMALL_HOLE)
        advance(2)
        if smooth_unseen and avatar.observed is not None:
            mesh = smoothed_where(mesh, 1.0 - known_at(avatar, pose, mesh.vertices), UNSEEN_STEPS)
        advance(3)
        mesh = closed(decimated(mesh, triangles), SMALL_HOLE)  # collapsing edges opens a few
        return watertight(mesh) if close_all else mesh


def known_at(avatar: Avatar, pose: Mapping[str, Tensor], points: Tensor) -> Tensor:
    """(V,) in [0, 1] how well the training views know points (V, 3): the mean of the nearest surfels'."""
    from scipy.spatial import cKDTree

    assert avatar.observed is not None
    with torch.no_grad():
        rig_bound = avatar.deformer.rig_bound
        posed = avatar.rig({n: v.to(avatar.device) for n, v in pose.items()}) if rig_bound else None
        binding = avatar.surfels.binding()
        means = apply_field(avatar.deformer(posed, binding), binding).mean[0].cpu().numpy()
    nearest = cKDTree(means).query(points.numpy(), k=min(NEAREST, len(means)))[1]
    rows = torch.from_numpy(nearest).reshape(len(points), -1)
    return avatar.observed.cpu()[rows].mean(dim=1)

"""The baseline every trained avatar must beat: the bare rig mesh, one mean colour a triangle.

Each triangle takes the mean of the training pixels whose rays meet it first; those outside a picture's mask
do not count, as a mesh that does not quite fit stands beyond the outline and would take the background's
colour. Normals and depth are the mesh's own. Rays are cast, so nothing of the surfel renderer is used.
"""

from __future__ import annotations

import copy
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from surfhead.core.components import Rig
from surfhead.core.scene import Scene
from surfhead.core.types import Cameras
from surfhead.data.feed import background_of, cameras_of
from surfhead.maths.triangles import vertex_normals
from surfhead.measuring.evaluation import FOREGROUND, Drawing, Evaluation, evaluate_drawings, spread
from surfhead.meshes.meshcaster import MeshCaster
from surfhead.terminal.bars import watched

BEHIND = 0.01  # metres: less than a head is thick, more than a pixel of a small picture is wide
TRAINING_VIEWS = 96  # pictures the colours are averaged over; more change the means by less than a grey level
THREADS = 16  # at most, that cast rays: each holds some hundred bytes a pixel


class TriangleBaseline:
    """Mean colours of a rig's triangles, and their pictures.

    Args:
        scene: the data.
        rig: prepared for the scene's identity; it moves by the data's own parameters, not refined ones.
        views: views the colours are taken from; by default the split ``train``.
        smooth: interpolate the mean normals of the vertices instead of the flat triangles' own.

    Attributes:
        colours: (F, 3) RGB in [0, 1]; of triangles that no pixel met, the mean of all.
        coloured: (F,) bool: some pixel met the triangle.
        shown: (F,) in how many of the pictures looked at the triangle is in sight, as a share of them: its
            middle lies no further behind the first surface on its pixel than ``BEHIND``.
    """

    def __init__(
        self,
        scene: Scene,
        rig: Rig,
        views: np.ndarray | None = None,
        *,
        smooth: bool = False,
    ) -> None:
        self.scene = scene
        self.rig = rig
        device = rig.rest().vertices.device
        self.motion = {name: rows.to(device) for name, rows in scene.rig_parameters.items()}
        self.smooth = smooth
        self.triangles = rig.rest().topology.triangles.cpu()
        count = len(self.triangles)
        total, hits = np.zeros((3, count)), np.zeros(count)
        shown = torch.zeros(count)
        chosen = scene.views.of("train") if views is None else views
        looked = spread(chosen, TRAINING_VIEWS).tolist()
        with ThreadPoolExecutor(min(os.cpu_count() or 1, THREADS)) as pool:
            try:
                seen = pool.map(self._look, looked)
                for colour, met, in_sight in watched(seen, "Colouring the bare mesh", len(looked)):
                    total += colour
                    hits += met
                    shown += in_sight
            finally:  # after a failure or an interruption nobody waits for the rest
                pool.shutdown(wait=True, cancel_futures=True)
        overall = total.sum(1) / max(hits.sum(), 1.0)
        self.coloured = torch.from_numpy(hits > 0)
        mean = np.where(hits > 0, total / np.maximum(hits, 1.0), overall[:, None]) / 255.0
        self.colours = torch.from_numpy(mean.T.astype(np.float32))
        self.shown = shown / max(len(looked), 1)

    def smoothed(self) -> TriangleBaseline:
        """The same colours with interpolated normals; nothing is looked at again."""
        other = copy.copy(self)
        other.smooth = True
        return other

    def _look(self, view: int) -> tuple[np.ndarray, np.ndarray, Tensor]:
        """Of a picture: sums of grey levels (3, F), pixels (F,) and what is in sight (F,)."""
        caster, vertices = self._caster(view)
        camera = cameras_of(self.scene, [view], "cpu")
        triangle, depth = caster.nearest(camera)
        frame = self.scene.picture(view)
        met = triangle[0].numpy() >= 0
        if frame.mask is not None:
            met &= frame.mask >= FOREGROUND
        index, count = triangle[0].numpy()[met], len(self.triangles)
        # whole numbers, so that their order does not matter
        colour = [np.bincount(index, frame.image[..., c][met], count) for c in range(3)]
        in_sight = _in_sight(vertices[self.triangles].mean(dim=1), camera, depth[0])
        return np.stack(colour), np.bincount(index, minlength=count), in_sight

    def _caster(self, view: int) -> tuple[MeshCaster, Tensor]:
        timestep = int(self.scene.views.timestep[view])
        with torch.no_grad():
            mesh = self.rig({name: rows[timestep : timestep + 1] for name, rows in self.motion.items()})
        vertices = mesh.vertices[0].cpu()
        return MeshCaster(vertices, self.triangles), vertices

    def draw(self, views: np.ndarray) -> Drawing:
        """The baseline's pictures of some views of the scene."""
        pictures: list[tuple[Tensor, ...]] = []
        for view in views.tolist():
            caster, vertices = self._caster(view)
            hits = caster.cast(cameras_of(self.scene, [view], "cpu"))
            mask = hits.mask[0]
            colour = self.colours[hits.triangle[0].clamp_min(0)]
            rgb = torch.where(mask[..., None], colour, background_of(self.scene))
            normal = hits.normal[0]
            if self.smooth:
                turn = torch.from_numpy(self.scene.views.camera_from_world[view][:3, :3]).float()
                corners = hits.interpolate(self.triangles, vertex_normals(vertices, self.triangles))[0]
                normal = torch.nn.functional.normalize(corners @ turn.T, dim=-1)
            facing = normal * mask[..., None]
            pictures.append((rgb, mask.float(), facing, hits.depth[0]))
        return Drawing(*(torch.stack(group) for group in zip(*pictures, strict=True)))


def _in_sight(points: Tensor, cameras: Cameras, met: Tensor) -> Tensor:
    """(F,) bool: points (F, 3) that the first camera sees, to within ``BEHIND`` of the depth met (H, W)."""
    pose, intrinsics = cameras.camera_from_world[0].float(), cameras.intrinsics[0].float()
    x, y, z = (points @ pose[:3, :3].T + pose[:3, 3]).unbind(-1)
    ahead = z > 1e-6
    column, row = (
        (intrinsics[i, i] * along / z.clamp_min(1e-6) + intrinsics[i, 2]).floor().long()
        for i, along in ((0, x), (1, y))
    )
    inside = ahead & (column >= 0) & (row >= 0) & (column < cameras.width) & (row < cameras.height)
    depth = met[row.clamp(0, cameras.height - 1), column.clamp(0, cameras.width - 1)]
    return inside & (depth > 0) & (z < depth + BEHIND)


def evaluate_baseline(
    bare: TriangleBaseline,
    split: str,
    *,
    limit: int = 0,
    folder: Path | None = None,
    backbone: str = "alex",
) -> Evaluation:
    """Measure the bare rig mesh, one mean colour of the training pictures a triangle.

    Args:
        bare: the mesh with its colours.
        split, limit, folder, backbone: as in ``evaluate_drawings``.
    """
    found = evaluate_drawings(
        bare.draw,
        bare.scene,
        split,
        limit=limit,
        folder=folder,
        backbone=backbone,
        title="one colour a triangle",
    )
    normals = "interpolated" if bare.smooth else "flat"
    return replace(found, notes=(*found.notes, f"baseline: mean colour a triangle, {normals} normals"))

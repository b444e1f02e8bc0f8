"""The fitted head as a surface in the clip's pictures: its box and its outline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from surfhead_video.fitted_head import Fit
from surfhead_video.outline import outline_mask, outline_points
from surfhead_video.rig_motion import camera_pose, rig_parameters

if TYPE_CHECKING:
    from surfhead_video.detection import Found
    from surfhead_video.tracking import Tracked

MARGIN = 0.06  # room round the head, fraction of its box's side


class Surface:
    """The fitted head's outline in every frame."""

    def __init__(self, rig: Any, fit: Fit, found: Found) -> None:
        self.rig, self.fit = rig, fit
        self.rest = rig.prepare({"shape": torch.from_numpy(fit.shape).float()})
        self.parameters = rig_parameters(fit, rig, found.time)
        self.pose = camera_pose(fit)
        self.whole = (found.width, found.height)
        regions = self.rest.topology.regions
        skin = (regions["face"] | regions["back_head"]).numpy()
        self.points = outline_points(self.rest.topology.triangles.numpy(), skin)

    def pixels(self, row: int) -> np.ndarray:
        """(V, 2) vertices in pixels of the whole picture."""
        one = {name: values[row : row + 1] for name, values in self.parameters.items()}
        with torch.no_grad():
            vertices = self.rig(one).vertices[0].double().numpy()
        seen = vertices @ self.pose[:3, :3].T + self.pose[:3, 3]
        middle = np.array(self.whole) / 2
        return np.asarray(self.fit.focal * seen[:, :2] / np.maximum(seen[:, 2:], 1e-3) + middle)

    def box(self) -> tuple[int, int, int, int]:
        """What the head covers in some thirty frames, with a margin, within the picture."""
        chosen = np.unique(np.linspace(0, len(self.fit.rotation) - 1, 30).round().astype(int))
        used = np.unique(self.points)
        pixels = np.stack([self.pixels(row)[used] for row in chosen])
        low, high = pixels.min(axis=(0, 1)), pixels.max(axis=(0, 1))
        room = MARGIN * (high - low).max()
        low, high = np.maximum(low - [room, 2.5 * room], 0), np.minimum(high + room, self.whole)
        (left, upper), (right, lower) = np.floor(low).astype(int), np.ceil(high).astype(int)
        return int(left), int(upper), int(right), int(lower)

    def mask(self, row: int, tracked: Tracked) -> np.ndarray:
        """(H, W) uint8 of the kept picture."""
        corner = np.array(tracked.box[:2])
        scale = np.array(tracked.size) / np.subtract(tracked.box[2:], tracked.box[:2])
        pixels = (self.pixels(row)[self.points].mean(axis=1) - corner) * scale
        return outline_mask(pixels, tracked.size[1], tracked.size[0])

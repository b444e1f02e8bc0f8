"""The cameras and pictures of an avatar's data, to stand at and to compare with."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import torch

from surfhead.core.errors import unknown_name
from surfhead.core.scene import Scene
from surfhead.core.types import Cameras
from surfhead.data.feed import cameras_of
from surfhead.viewing.viewpoint import Viewpoint

KEPT = 16  # decoded pictures


class TrainingViews:
    """The views of a data set by camera and timestep.

    Attributes:
        scene: the data.
        numbers: the cameras' numbers, ascending.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        views = scene.views
        self.numbers: list[int] = sorted(set(views.camera.tolist()))
        self._rows: dict[int, dict[int, int]] = {number: {} for number in self.numbers}
        for row, (number, step) in enumerate(
            zip(views.camera.tolist(), views.timestep.tolist(), strict=True)
        ):
            self._rows[number].setdefault(step, row)
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()

    def row(self, camera: int, timestep: int) -> int | None:
        """The view of a camera at a timestep, or None where the data has none."""
        return self._rows.get(camera, {}).get(timestep)

    def nearest_timestep(self, camera: int, timestep: int) -> int:
        """The timestep nearest to this one that a camera has a picture of. Raises UnknownNameError."""
        if camera not in self._rows:
            raise unknown_name("camera", str(camera), map(str, self.numbers), "Choose one of these.")
        return min(self._rows[camera], key=lambda step: (abs(step - timestep), step))

    def viewpoint(self, camera: int) -> Viewpoint:
        """Where a camera stands, with the field of view of its picture."""
        row = next(iter(self._rows[camera].values()))
        views = self.scene.views
        focal = float(views.intrinsics[row, 1, 1])
        fov = 2 * math.atan(views.size(row)[0] / 2 / focal)
        return Viewpoint.of(torch.from_numpy(np.asarray(views.camera_from_world[row])), fov)

    def cameras(self, row: int, height: int) -> Cameras:
        """One view's camera, its picture scaled to ``height`` pixels; its own principal point."""
        made = cameras_of(self.scene, [row], "cpu")
        width = max(round(made.width * height / made.height), 1)
        scale = torch.tensor([width / made.width, height / made.height, 1.0])
        return replace(made, intrinsics=made.intrinsics * scale[:, None], height=height, width=width)

    def picture(self, row: int, height: int, width: int) -> np.ndarray:
        """One view's true picture (height, width, 3) uint8, scaled."""
        from PIL import Image

        if row in self._kept:
            self._kept.move_to_end(row)
        else:
            self._kept[row] = np.ascontiguousarray(self.scene.picture(row).image)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        image = Image.fromarray(self._kept[row])
        if image.size == (width, height):
            return self._kept[row]
        smaller = height < image.height
        kind = Image.Resampling.BOX if smaller else Image.Resampling.BILINEAR
        return np.asarray(image.resize((width, height), kind))

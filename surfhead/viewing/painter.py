"""From a shot to the pixels of its picture."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.core.types import Cameras
from surfhead.drawing.channels import paint
from surfhead.drawing.pictures import to_bytes
from surfhead.viewing.lighting import lit
from surfhead.viewing.puppet import Puppet
from surfhead.viewing.shot import Request, Shot
from surfhead.viewing.training_views import TrainingViews
from surfhead.viewing.variants import Variants
from surfhead.viewing.viewpoint import picture_size, start_viewpoint

RGB, ERROR = "rgb", "error"


class Painter:
    """Draws the shots of one avatar with the project's own rasterizer, in one thread at a time.

    Attributes:
        puppet: the rig and its motion.
        views: the avatar's data, or None where it is not there.
    """

    def __init__(self, avatar: Avatar, views: TrainingViews | None = None, rate: float = 25.0) -> None:
        self.avatar = avatar
        self.puppet = Puppet(avatar, rate)
        self.variants = Variants(avatar)
        self.views = views
        self.target = start_viewpoint(avatar)[1]

    def draw(self, request: Request) -> np.ndarray:
        """The picture (H, W, 3) uint8 of a request."""
        height, width = picture_size(request.aspect, request.longest)
        return self.picture(request.shot, height, width)

    def picture(self, shot: Shot, height: int, width: int) -> np.ndarray:
        """The picture (height, width, 3) uint8 of a shot."""
        row = self.row(shot)
        if row is None:
            channel = RGB if shot.channel == ERROR else shot.channel
            return to_bytes(self._paint(shot, shot.viewpoint.cameras(height, width), channel, None))
        assert self.views is not None
        cameras = self.views.cameras(row, height)
        true = self.views.picture(row, cameras.height, cameras.width)
        target = torch.from_numpy(np.array(true)).to(self.avatar.device, self.avatar.background.dtype) / 255
        drawn = to_bytes(self._paint(shot, cameras, shot.channel, target))
        edge = round(shot.split * cameras.width)
        drawn = np.concatenate([true[:, :edge], drawn[:, edge:]], axis=1)
        if 0 < edge < cameras.width:
            drawn[:, edge - 1 : edge + 1] = (255, 160, 0)
        return framed(drawn, width, self._background(shot))

    def row(self, shot: Shot) -> int | None:
        """The view of the data that a shot repeats, or None for a free camera or another motion."""
        if shot.camera is None or self.views is None or shot.stance.track is not None:
            return None
        return self.views.row(shot.camera, shot.stance.timestep)

    def pose(self, shot: Shot) -> dict[str, Tensor]:
        """The rig parameters of a shot, name -> (1, d)."""
        return self.puppet.pose(shot.stance, shot.viewpoint.position)

    def vertices(self, shot: Shot) -> np.ndarray:
        """(V, 3) the rig's posed vertices, metres."""
        with torch.no_grad():
            mesh = self.avatar.rig(self.pose(shot))
        found: np.ndarray = mesh.vertices[0].float().cpu().numpy()
        return found

    def _paint(self, shot: Shot, cameras: Cameras, channel: str, truth: Tensor | None) -> Tensor:
        with torch.no_grad():
            avatar = self.variants.of(shot.look)
            pose: Mapping[str, Tensor] | int = self.pose(shot) or 0
            background = None if shot.background is None else avatar.background.new_tensor(shot.background)
            with lit(avatar, shot.lighting, shot.viewpoint.position, self.target):
                pictures = paint(
                    avatar,
                    cameras,
                    pose,
                    [channel],
                    background=background,
                    truth=truth,
                    opacity_scale=self.variants.opacity(shot.look, shot.opacity_scale),
                )
        return pictures[channel]

    def _background(self, shot: Shot) -> np.ndarray:
        given = self.avatar.background if shot.background is None else torch.tensor(shot.background)
        return to_bytes(given)


def framed(pixels: np.ndarray, width: int, background: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) cut or filled up at both sides to ``width`` columns."""
    spare = width - pixels.shape[1]
    if spare <= 0:
        first = -spare // 2
        return pixels[:, first : first + width]
    made = np.empty((pixels.shape[0], width, 3), np.uint8)
    made[:] = background
    made[:, spare // 2 : spare // 2 + pixels.shape[1]] = pixels
    return made

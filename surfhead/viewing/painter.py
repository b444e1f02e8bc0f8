"""From a shot to the pixels of its picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.core.types import Cameras
from surfhead.drawing.channels import paint
from surfhead.drawing.pictures import to_bytes
from surfhead.drawing.scalars import Scale
from surfhead.viewing.beside import ALONE, joined
from surfhead.viewing.lighting import lit
from surfhead.viewing.picking import picked, values_of
from surfhead.viewing.puppet import Puppet, Stance, Track
from surfhead.viewing.shot import Request, Shot
from surfhead.viewing.training_views import TrainingViews
from surfhead.viewing.variants import Look, Variants
from surfhead.viewing.viewpoint import Vector, picture_size, start_viewpoint

RGB, ERROR = "rgb", "error"


class Painter:
    """Draws the shots of one avatar with the project's own rasterizer, in one thread at a time.

    Attributes:
        puppet: the rig and its motion.
        views: the avatar's data, or None where it is not there.
        other: draws another run beside it, or None.
    """

    def __init__(
        self,
        avatar: Avatar,
        views: TrainingViews | None = None,
        rate: float = 25.0,
        other: Painter | None = None,
    ) -> None:
        self.other = other
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
        if self.other is None or shot.beside == ALONE:
            return self._alone(shot, height, width)
        plain = replace(shot, bar=False)
        second = self.other._alone(self._carried(plain), height, width)
        return joined(self._alone(shot, height, width), second, shot.beside)

    def _carried(self, shot: Shot) -> Shot:
        """The shot in the other run's terms: its own pose where its rig has the same parameters."""
        assert self.other is not None
        there = self.other.avatar.rig.parameters() if self.other.avatar.deformer.rig_bound else {}
        fitting = {
            name: rows
            for name, rows in self.pose(shot).items()
            if name in there and there[name].size == rows.shape[1]
        }
        stance = Stance(Track("the first run's pose", fitting)) if fitting else Stance()
        timestep = min(shot.stance.timestep, max(self.other.avatar.timesteps - 1, 0))
        return replace(
            shot,
            stance=stance if fitting else Stance(timestep=timestep),
            camera=None,
            look=Look(size=shot.look.size),
        )

    def _alone(self, shot: Shot, height: int, width: int) -> np.ndarray:
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

    def pick(self, shot: Shot, origin: Vector, direction: Vector) -> Mapping[str, str]:
        """What is known of the surfel that a ray of the world meets, name -> words; empty: it meets none."""
        like = self.avatar.background
        with torch.no_grad():
            avatar = self.variants.of(shot.look)
            tiny = shot.viewpoint.cameras(1, 1)
            drawn = avatar.render(
                tiny, self.pose(shot) or 0, opacity_scale=self.variants.opacity(shot.look, shot.opacity_scale)
            )
            found = picked(drawn.surfels, like.new_tensor(origin), like.new_tensor(direction))
            return {} if found is None else values_of(avatar, drawn, found)

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
                    scale=Scale(shot.colour_map, percentile=shot.percentile, bar=shot.bar),
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

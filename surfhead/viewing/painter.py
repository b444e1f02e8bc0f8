"""From a shot to the pixels of its picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.core.types import Cameras
from surfhead.drawing.channels import begun
from surfhead.drawing.pictures import Coming, arriving, to_bytes
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
        return self.begin(shot, height, width).wait()

    def pictures(self, shots: Iterable[Shot], height: int, width: int) -> Iterator[np.ndarray]:
        """The pictures of shots in turn; a GPU draws the next while one is looked at.

        An error comes in the place of its picture, and ends them.
        """
        return arriving(self.begin(shot, height, width) for shot in shots)

    def begin(self, shot: Shot, height: int, width: int) -> Coming:
        """The picture of a shot, of the avatar as it is now; a GPU may still be drawing it."""
        if self.other is None or shot.beside == ALONE:
            if self.row(shot) is None:
                channel = RGB if shot.channel == ERROR else shot.channel
                return self._begun(shot, shot.viewpoint.cameras(height, width), channel, None)
            return Coming(torch.from_numpy(self._repeated(shot, height, width)))
        return Coming(torch.from_numpy(self._both(shot, height, width)))

    def _both(self, shot: Shot, height: int, width: int) -> np.ndarray:
        assert self.other is not None
        plain = replace(shot, bar=False)
        first = self.begin(replace(shot, beside=ALONE), height, width)
        second = self.other.begin(replace(self._carried(plain), beside=ALONE), height, width)
        return joined(first.wait(), second.wait(), shot.beside)

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

    def _repeated(self, shot: Shot, height: int, width: int) -> np.ndarray:
        """A shot from a camera of the data."""
        row = self.row(shot)
        assert row is not None
        assert self.views is not None
        cameras = self.views.cameras(row, height)
        true = self.views.picture(row, cameras.height, cameras.width)
        target = torch.from_numpy(np.array(true)).to(self.avatar.device, self.avatar.background.dtype) / 255
        drawn = self._begun(shot, cameras, shot.channel, target).wait()
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
            like = self.avatar.background
            mesh = self.avatar.rig({name: rows.to(like) for name, rows in self.pose(shot).items()})
        found: np.ndarray = mesh.vertices[0].float().cpu().numpy()
        return found

    def _begun(self, shot: Shot, cameras: Cameras, channel: str, truth: Tensor | None) -> Coming:
        with torch.no_grad():
            avatar = self.variants.of(shot.look)
            pose: Mapping[str, Tensor] | int = self.pose(shot) or 0
            background = None if shot.background is None else torch.tensor(shot.background)
            with lit(avatar, shot.lighting, shot.viewpoint.position, self.target):
                return begun(
                    avatar,
                    cameras,
                    pose,
                    channel,
                    background=background,
                    truth=truth,
                    scale=Scale(shot.colour_map, percentile=shot.percentile, bar=shot.bar),
                    opacity_scale=self.variants.opacity(shot.look, shot.opacity_scale),
                )

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

"""The training pictures that judge what is changed after the last step, and how an avatar draws them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.avatars.rendering import Rendering
from surfhead.core.scene import Scene
from surfhead.core.types import Cameras, Mesh
from surfhead.data.feed import background_of, cameras_of
from surfhead.measuring.evaluation import spread

PICTURES = 24  # that are asked whether they got worse,
FEWEST = 4  # or as few as these, if a run looked at less than
SHARE = 4  # times as many in its steps: asking takes no longer than they did


def judging(views: np.ndarray, images: int = 0) -> list[int]:
    """Those of the training views that are asked, evenly spread, after so many images (0: any number)."""
    limit = min(max(images // SHARE, FEWEST), PICTURES) if images else PICTURES
    return [int(view) for view in spread(np.asarray(views), limit)]


def drawn(
    avatar: Avatar, scene: Scene, view: int, factor: Tensor | None = None, mesh: Mesh | None = None
) -> tuple[Rendering, Cameras, Tensor]:
    """A view as it is drawn, its camera and background (1, 3).

    Args:
        avatar, scene: what is drawn, and of what.
        view: of the scene.
        factor: (N,) of the opacities.
        mesh: as it is posed there, where that is known.
    """
    first = torch.zeros(1, dtype=torch.int64, device=avatar.device)
    poses = avatar.poses(first + int(scene.views.timestep[view]))
    cameras, behind = cameras_of(scene, [view], avatar.device), background_of(scene)[None].to(avatar.device)
    found = avatar.draw(cameras, poses, first, behind, paired=True, opacity_scale=factor, mesh=mesh)
    return found, cameras, behind


def truth(scene: Scene, view: int, like: Tensor) -> Tensor:
    """(H, W, 3) a view's picture in [0, 1], where ``like`` lies and of its type."""
    return torch.from_numpy(np.ascontiguousarray(scene.picture(view).image)).to(like) / 255.0

"""The training pictures that judge what is changed after the last step, and how an avatar draws them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.avatars.rendering import Rendering
from surfhead.core.scene import Scene
from surfhead.core.types import Cameras, Mesh
from surfhead.data.feed import background_of, cameras_of
from surfhead.measuring.evaluation import SOLID, spread

PICTURES = 24  # that are asked whether they got worse,
FEWEST = 4  # or as few as these, if a run looked at less than
SHARE = 4  # times as many in its steps: asking takes no longer than they did
FRONTS = 6  # of them, that are asked how opaque the front is


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


@torch.no_grad()
def front(avatar: Avatar, scene: Scene, chosen: Sequence[int]) -> float:
    """How opaque what faces the camera is: its alpha's lower quartile where views show the head at all.

    The far side alone can cover a pixel, too. 1 where nothing is to be seen.

    Args:
        avatar: bound to a rig.
        scene, chosen: what it was trained on, and the views of which some are looked at.
    """
    alphas = []
    first = torch.zeros(1, dtype=torch.int64, device=avatar.device)
    for view in spread(np.asarray(chosen), FRONTS):
        found, cameras, _ = drawn(avatar, scene, int(view))
        if found.mesh is None:
            break
        frames = found.mesh.frames
        way = cameras.centre - frames.centroid[0]
        facing = ((way * frames.rotation[0, :, :, 2]).sum(dim=-1) > 0.0)[avatar.surfels.triangle]
        scale = facing.to(avatar.surfels.parameters["opacity"].dtype)
        near, _, _ = drawn(avatar, scene, int(view), scale, mesh=found.mesh)
        alphas.append(near.output.alpha[found.output.alpha > SOLID])
    seen = torch.cat(alphas) if alphas else first[:0]
    return float(seen.kthvalue(len(seen) // 4 + 1).values) if len(seen) else 1.0


def truth(scene: Scene, view: int, like: Tensor) -> Tensor:
    """(H, W, 3) a view's picture in [0, 1], where ``like`` lies and of its type."""
    return torch.from_numpy(np.ascontiguousarray(scene.picture(view).image)).to(like) / 255.0

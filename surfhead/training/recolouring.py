"""What a change of colours costs the training pictures, and the part of it that costs hardly anything."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.core.scene import Scene
from surfhead.data.feed import background_of, cameras_of
from surfhead.measuring.evaluation import spread
from surfhead.terminal.bars import watched

log = logging.getLogger("surfhead")
PICTURES = 24  # that are asked whether they got worse
RISE = 0.002  # of their squared error, relative to all of it: more a change may not cost


@torch.no_grad()
def spare_pictures(
    avatar: Avatar, scene: Scene, views: np.ndarray, former: Mapping[str, Tensor], changed: Tensor
) -> Tensor:
    """Give surfels whose new colours make training pictures worse their former ones, the worst first.

    A picture is linear in its surfels' colours and its error quadratic, so that the error's derivatives at
    the middle of old and new colours tell what each surfel's change adds: they sum up to the whole rise.

    Args:
        avatar: with the new colours.
        scene, views: what it was trained on.
        former: parameter -> (N, ...) as it was before.
        changed: (M,) int64 surfels.

    Returns:
        (K,) int64, those that stay changed.
    """
    chosen = spread(np.asarray(views), PICTURES).tolist()
    rises, total = _rises(avatar, scene, chosen, former, changed)
    order = rises.argsort(descending=True, stable=True)
    left = rises.sum() - torch.cat((rises.new_zeros(1), rises[order].cumsum(0)))  # with the first n put back
    back = order[: int((left > RISE * total).sum())]
    share = 100.0 * float(left[0]) / max(total, 1e-12)
    log.debug("New colours raise errors by %.2f %%: %d of %d are put back.", share, len(back), len(changed))
    for name, values in former.items():
        avatar.surfels.parameters[name][changed[back]] = values[changed[back]]
    stays = torch.ones_like(changed, dtype=torch.bool)
    stays[back] = False
    return changed[stays]


def _rises(
    avatar: Avatar, scene: Scene, chosen: Sequence[int], former: Mapping[str, Tensor], changed: Tensor
) -> tuple[Tensor, float]:
    """(M,) by how much each change raises the pictures' squared errors, and what these were."""
    raw = avatar.surfels.parameters
    new = {name: raw[name].clone() for name in former}
    rises, total = torch.zeros(len(changed), dtype=torch.float64, device=changed.device), 0.0
    first = torch.zeros(1, dtype=torch.int64, device=avatar.device)
    behind = background_of(scene)[None].to(avatar.device)
    for view in watched(chosen, "Looking at new colours", len(chosen)):
        poses = avatar.poses(first + int(scene.views.timestep[view]))
        cameras = cameras_of(scene, [view], avatar.device)
        truth = torch.from_numpy(np.ascontiguousarray(scene.picture(view).image)).to(behind) / 255.0
        for name, values in former.items():
            raw[name].copy_(values)
        drawn = avatar.draw(cameras, poses, first, behind, paired=True)
        for name, values in new.items():
            raw[name].copy_(values)
        then = avatar.draw(cameras, poses, first, behind, paired=True, mesh=drawn.mesh).colour.rgb
        total += float((drawn.output.rgb[0] - truth).square().sum())
        middle = (0.5 * (drawn.colour.rgb + then)).requires_grad_()
        with torch.enable_grad():
            picture = avatar.rasterizer(drawn.surfels, middle, cameras, first, behind).rgb[0]
            (slope,) = torch.autograd.grad((picture - truth).square().sum(), middle)
        rises += (slope * (then - drawn.colour.rgb)).sum(dim=-1)[0, changed].double()
    return rises, total

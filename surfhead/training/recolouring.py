"""What a change of colours costs the training pictures, and the part of it that costs hardly anything."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.core.scene import Scene
from surfhead.terminal.bars import watched
from surfhead.training.judging_pictures import drawn, truth

log = logging.getLogger("surfhead")
RISE = 0.002  # of their squared error, relative to all of it: more a change may not cost


@torch.no_grad()
def spare_pictures(
    avatar: Avatar, scene: Scene, chosen: Sequence[int], former: Mapping[str, Tensor], changed: Tensor
) -> Tensor:
    """Give surfels whose new colours make training pictures worse their former ones, the worst first.

    A picture is linear in its surfels' colours and its error quadratic, so that the error's derivatives at
    the middle of old and new colours tell what each surfel's change adds: they sum up to the whole rise.

    Args:
        avatar: with the new colours.
        scene, chosen: what it was trained on, and the views that are asked.
        former: parameter -> (N, ...) as it was before.
        changed: (M,) int64 surfels.

    Returns:
        (K,) int64, those that stay changed.
    """
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
    for view in watched(chosen, "Looking at new colours", len(chosen)):
        for name, values in former.items():
            raw[name].copy_(values)
        before, cameras, behind = drawn(avatar, scene, view)
        for name, values in new.items():
            raw[name].copy_(values)
        after = drawn(avatar, scene, view, mesh=before.mesh)[0].colour.rgb
        wanted = truth(scene, view, behind)
        total += float((before.output.rgb[0] - wanted).square().sum())
        middle = (0.5 * (before.colour.rgb + after)).requires_grad_()
        with torch.enable_grad():
            picture = avatar.rasterizer(before.surfels, middle, cameras, first, behind).rgb[0]
            (slope,) = torch.autograd.grad((picture - wanted).square().sum(), middle)
        rises += (slope * (after - before.colour.rgb)).sum(dim=-1)[0, changed].double()
    return rises, total

"""How well the training views know each surfel: how much of it they saw, and from which directions.

What no picture shows of an avatar, nothing in the loss constrains: surfels keep the values they started
or were split with, and harmonics take any value outside the cone of directions they were seen from. Both
are measured here, once, on the finished avatar, so that ``settling`` can do something about it.

A surfel's share in a picture is the sum of its compositing weights over the pixels (method: section 5), which
is the gradient of the sum of all pixels with respect to its colour: any differentiable rasterizer gives it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar, rest_directions
from surfhead.core.scene import Scene
from surfhead.data.feed import cameras_of
from surfhead.measuring.evaluation import spread

VIEWS = 64  # at most this many views are looked at; more would not tell much more
HALF = 1.0  # pixels, summed over all training views, at which a surfel counts as half known


@dataclass(frozen=True)
class Observation:
    """What the training views saw of N surfels.

    Attributes:
        weight: (N,) compositing weights summed over pixels and views: how many pixels each surfel made.
        information: (N, K, K) sum over views of weight · Y(d) Y(d)ᵀ, with Y the appearance model's K
            functions of the direction d; None where its colour does not depend on it in that way.
    """

    weight: Tensor
    information: Tensor | None

    @property
    def known(self) -> Tensor:
        """(N,) in [0, 1): w / (w + HALF), how well each surfel is known."""
        return self.weight / (self.weight + HALF)


def observe(avatar: Avatar, scene: Scene, views: np.ndarray, limit: int = VIEWS) -> Observation:
    """Look at the avatar as the training views did.

    Args:
        avatar: a trained avatar, posed by its own motion.
        scene: the data set.
        views: indices of the training views.
        limit: at most so many of them, evenly spread; weights are scaled up to all.
    """
    chosen = spread(np.asarray(views), limit)
    directional = avatar.appearance.directional()
    count, device = len(avatar.surfels), avatar.device
    weight = torch.zeros(count, device=device)
    information = None
    if directional is not None:
        size = len(directional.stiffness)
        information = torch.zeros(count, size, size, device=device)
    for view in chosen:
        cameras = cameras_of(scene, [int(view)], device)
        timestep = torch.tensor([int(scene.views.timestep[view])], device=device)
        first = torch.zeros(1, dtype=torch.int64, device=device)
        behind = torch.zeros(1, 3, device=device)
        with torch.no_grad():
            drawn = avatar.draw(cameras, avatar.poses(timestep), first, behind, paired=True)
        colour = drawn.colour.rgb.detach().requires_grad_()
        picture = avatar.rasterizer(drawn.surfels, colour, cameras, first, behind).rgb
        (share,) = torch.autograd.grad(picture.sum(), colour)
        share = share.mean(dim=-1)[0].clamp_min(0.0)  # (N,), the same for each of the three colours
        weight += share
        if directional is not None and information is not None:
            surfels = drawn.surfels
            rotation = drawn.field.rotation
            directions, _ = rest_directions(surfels.mean, surfels.normal, rotation, cameras.centre)
            values = directional.basis(directions)[0]
            information += (share[:, None] * values)[:, :, None] * values[:, None, :]
    scale = len(views) / max(len(chosen), 1)
    return Observation(weight * scale, None if information is None else information * scale)

"""How well the training views know each surfel: how much of it they saw, and from which directions.

What no picture shows of an avatar, nothing in the loss constrains: surfels keep the values they started
or were split with, and harmonics take any value outside the cone of directions they were seen from. Both
are measured here, once, on the finished avatar, so that ``settling`` can do something about it.

A pixel's colour is the sum of the surfels' by their compositing weights ω (method: section 5), so that what
it tells of one of them, in units of the pixel's own certainty, is ω²: a fringe of ω = 0.1 round the
silhouette tells a hundredth of a pixel. The sum of ω² over the pixels is the mean of (Σ ± ω)² over random
signs, which is the squared gradient of the signed sum of all pixels with respect to the surfel's colour: any
differentiable rasterizer gives it (Hutchinson, "A stochastic estimator of the trace of the influence
matrix", 1989).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.core.scene import Scene
from surfhead.data.feed import cameras_of
from surfhead.kernels import ops
from surfhead.measuring.evaluation import spread
from surfhead.terminal.bars import watched

VIEWS = 64  # at most this many views are looked at; more would not tell much more
HALF = 0.05  # pixels, summed over all training views, at which a surfel counts as half known …
SHARE = 0.0005  # … or this share of the median surfel's, where pictures are few or small for so many surfels
# least cosine between a triangle's normal and the way to a camera that sees it straight
STRAIGHT = math.cos(math.radians(70.0))


@dataclass(frozen=True)
class Observation:
    """What the training views saw of N surfels.

    Attributes:
        weight: (N,) squares of compositing weights summed over pixels and views, estimated: how many pixels
            of its own each surfel had.
        information: (N, K, K) sum over views of weight · Y(d) Y(d)ᵀ, with Y the appearance model's K
            functions of the direction d; None where its colour does not depend on it in that way.
        straight: (N,) the part of ``weight`` from views that see the surfel's triangle straight, not aslant;
            None without a rig.
    """

    weight: Tensor
    information: Tensor | None
    straight: Tensor | None = None

    @property
    def half(self) -> float:
        """The weight at which a surfel counts as half known, pixels."""
        seen = self.weight[self.weight > 0]
        return max(min(HALF, SHARE * float(seen.median())), 1e-9) if len(seen) else HALF

    @property
    def known(self) -> Tensor:
        """(N,) in [0, 1): w / (w + half), how well each surfel is known."""
        return self.weight / (self.weight + self.half)


def observe(
    avatar: Avatar, scene: Scene, views: np.ndarray, limit: int = VIEWS, directions: bool = True
) -> Observation:
    """Look at the avatar as the training views did.

    Args:
        avatar: a trained avatar, posed by its own motion.
        scene: the data set.
        views: indices of the training views.
        limit: at most so many of them, evenly spread; weights are scaled up to all.
        directions: look at the directions, too; without, ``information`` is None.
    """
    chosen = spread(np.asarray(views), limit)
    directional = avatar.appearance.directional() if directions else None
    generator = torch.Generator().manual_seed(0)
    count, device = len(avatar.surfels), avatar.device
    weight = torch.zeros(count, device=device)
    straight = torch.zeros(count, device=device) if avatar.deformer.rig_bound else None
    information = None
    if directional is not None:
        size = len(directional.stiffness)
        information = torch.zeros(count, size, size, device=device)
    for view in watched(chosen, "Looking at what was seen", len(chosen)):
        cameras = cameras_of(scene, [int(view)], device)
        timestep = torch.tensor([int(scene.views.timestep[view])], device=device)
        first = torch.zeros(1, dtype=torch.int64, device=device)
        behind = torch.zeros(1, 3, device=device)
        with torch.no_grad():
            drawn = avatar.draw(cameras, avatar.poses(timestep), first, behind, paired=True)
        colour = drawn.colour.rgb.detach().requires_grad_()
        picture = avatar.rasterizer(drawn.surfels, colour, cameras, first, behind).rgb
        signs = (torch.randint(0, 2, picture.shape, generator=generator) * 2 - 1).to(picture)
        (drawn_signs,) = torch.autograd.grad((signs * picture).sum(), colour)
        share = drawn_signs.square().mean(dim=-1)[0]  # (N,), over three draws of signs
        weight += share
        if straight is not None and drawn.mesh is not None:
            frames = drawn.mesh.frames
            way = torch.nn.functional.normalize(cameras.centre - frames.centroid[0], dim=-1)
            facing = (way * frames.rotation[0, :, :, 2]).sum(dim=-1) > STRAIGHT
            straight += share * facing[avatar.surfels.triangle]
        if directional is not None and information is not None:
            surfels = drawn.surfels
            rotation = drawn.field.rotation
            towards, _ = ops.rest_directions(surfels.mean, surfels.normal, rotation, cameras.centre)
            values = directional.basis(towards)[0]
            information.addcmul_((share[:, None] * values)[:, :, None], values[:, None, :])
    scale = len(views) / max(len(chosen), 1)
    scaled = [None if found is None else found * scale for found in (information, straight)]
    return Observation(weight * scale, *scaled)

"""The last look at an avatar before it is handed over."""

from __future__ import annotations

import logging

import numpy as np
import torch

from surfhead.avatars.avatar import Avatar
from surfhead.avatars.surfels import Selection
from surfhead.core.scene import Scene
from surfhead.training.covering import cover_hidden
from surfhead.training.holes import OPEN
from surfhead.training.judging_pictures import front, judging
from surfhead.training.observation import observe
from surfhead.training.palette import mend
from surfhead.training.ranks import ALONE, Ranks
from surfhead.training.settling import settle

log = logging.getLogger("surfhead")
TRANSPARENT = "Nothing is covered or closed: what pictures show of the head is hardly opaque yet."
LAST_LOOK = "Last look: mending colours, covering and closing what no picture shows; this may take a minute."


def finish(
    avatar: Avatar,
    scene: Scene,
    views: np.ndarray,
    tie: bool = False,
    ranks: Ranks = ALONE,
    most: int = 0,
    images: int = 0,
) -> None:
    """After the last step: sets ``avatar.observed``, and ties what was not seen where asked to.

    Surfels may be added behind all others, but not more than make ``most`` (0: no limit). Of processes that
    train together the first one does it for all. After few ``images`` (0: many) few views are asked what
    changes harm.
    """
    count = len(avatar.surfels)
    if ranks.first:
        if avatar.deformer.rig_bound or tie:  # else nothing is changed
            log.info(LAST_LOOK)
        seen = observe(avatar, scene, views, directions=False)
        mend(avatar, scene, views, seen, images)  # before what is not seen takes what is seen round it
        covered = False
        if avatar.deformer.rig_bound and front(avatar, scene, judging(views, images)) < OPEN:
            log.info(TRANSPARENT)  # whatever lay behind would show in every picture
        else:
            covered = cover_hidden(avatar, scene, views, most, images)
        if tie:
            settle(avatar, scene, views)
        else:  # other colours alone change nothing of how much pictures show of a surfel
            avatar.observed = (observe(avatar, scene, views, directions=False) if covered else seen).known
    surfels = avatar.surfels
    if ranks.count > 1:
        added = ranks.tell(len(surfels) - count)
        if added and not ranks.first:
            surfels.select(Selection.grown(count, surfels.triangle.new_zeros(added)))
        host = surfels.triangle.clone()
        ranks.spread([*surfels.parameters.values(), host])
        if not ranks.first:
            surfels.rebind(torch.arange(len(host), device=host.device), host)

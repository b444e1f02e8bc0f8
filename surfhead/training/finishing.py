"""The last look at an avatar before it is handed over."""

from __future__ import annotations

import numpy as np
import torch

from surfhead.avatars.avatar import Avatar
from surfhead.core.scene import Scene
from surfhead.training.covering import cover_hidden
from surfhead.training.observation import observe
from surfhead.training.ranks import ALONE, Ranks
from surfhead.training.settling import settle


def finish(avatar: Avatar, scene: Scene, views: np.ndarray, tie: bool = False, ranks: Ranks = ALONE) -> None:
    """After the last step: sets ``avatar.observed``, and ties what was not seen where asked to.

    Of processes that train together the first one does it for all.
    """
    if ranks.first:
        cover_hidden(avatar, scene, views)
        if tie:
            settle(avatar, scene, views)
        else:
            avatar.observed = observe(avatar, scene, views, directions=False).known
    surfels = avatar.surfels
    if tie or "hidden" in surfels.regions:
        host = surfels.triangle.clone()
        ranks.spread([*surfels.parameters.values(), host])
        if not ranks.first:
            surfels.rebind(torch.arange(len(host), device=host.device), host)

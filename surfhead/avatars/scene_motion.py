"""Which rig parameters an avatar is posed with on a data set's timesteps: the data's, or its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from surfhead.core.components import Rig
from surfhead.core.errors import DataError
from surfhead.core.scene import Scene

if TYPE_CHECKING:
    from surfhead.avatars.avatar import Avatar


def motion_for(avatar: Avatar, scene: Scene, own: bool = False) -> dict[str, Tensor]:
    """Rig parameters name -> (T, d) of a scene's timesteps, on the avatar's device.

    Args:
        avatar: what is to be posed.
        scene: a data set the run does not name as its own.
        own: the avatar's own parameters, which training may have refined, instead of the data's.

    Raises:
        DataError: the data is of another rig, or, with ``own``, of other timesteps.
    """
    if avatar.deformer.rig_bound and scene.rig != avatar.rig.name:
        raise DataError(
            f'The data was tracked with rig "{scene.rig}", the avatar has rig "{avatar.rig.name}".',
            "Expected data of the same rig.",
            "Choose another --data.",
        )
    if own:
        return motion_on(avatar.motion, scene)
    motion = {name: rows.to(avatar.device, torch.float32) for name, rows in scene.rig_parameters.items()}
    return sized(motion, avatar.rig)


def sized(motion: Mapping[str, Tensor], rig: Rig) -> dict[str, Tensor]:
    """A motion with as many numbers a timestep as the rig has: longer rows are cut, shorter get zeros.

    Trackers keep other numbers of expression coefficients than a rig has, and vertex offsets with or without
    those of the teeth, which come last.
    """
    known = rig.parameters()
    made = dict(motion)
    for name, rows in motion.items():
        size = known[name].size if name in known else rows.shape[1]
        if rows.shape[1] != size:
            made[name] = torch.nn.functional.pad(rows[:, :size], (0, max(size - rows.shape[1], 0)))
    return made


def motion_on(motion: Mapping[str, Tensor], scene: Scene) -> dict[str, Tensor]:
    """An avatar's motion with a row for every timestep of the scene.

    Files of other projects have a row for every number from 0 to the last timestep's, scenes one for each
    timestep that there is. Timesteps after the avatar's last keep what the data says.

    Raises:
        DataError: the scene's timesteps have no numbers to find their rows by.
    """
    count = scene.timesteps
    made = {}
    for name, rows in motion.items():
        if len(rows) == count:
            made[name] = rows
            continue
        numbers = [int(step) for step in scene.timestep_names if step.isdecimal()]
        if len(numbers) != count:
            raise DataError(
                f"The avatar's motion has {len(rows)} timesteps.",
                f"The data set has {count}, without numbers to find them by.",
                "Give the data set it was trained on.",
            )
        tracked = scene.rig_parameters.get(name)
        fitted = rows.new_zeros(count, rows.shape[1]) if tracked is None else tracked.to(rows).clone()
        index = torch.tensor(numbers, device=rows.device)
        fitted[index < len(rows)] = rows.detach()[index[index < len(rows)]]
        made[name] = fitted
    return made

"""Writes what went into a step that produced NaN, for whoever looks for the cause."""

from __future__ import annotations

import logging
from pathlib import Path

import safetensors.torch
from torch import Tensor

from surfhead.avatars.rendering import Rendering
from surfhead.core.types import Batch
from surfhead.files.writing import beside
from surfhead.training.optimiser import Optimiser

log = logging.getLogger("surfhead")


def dump_step(folder: Path, images: int, batch: Batch, rendering: Rendering, optimiser: Optimiser) -> None:
    """Write ``folder/IMAGES.safetensors``: the batch, the posed surfels, the parameters and gradients."""
    tensors: dict[str, Tensor] = {
        "batch/image": batch.image,
        "batch/camera_from_world": batch.cameras.camera_from_world,
        "batch/intrinsics": batch.cameras.intrinsics,
        "batch/timesteps": batch.timesteps,
        "world/mean": rendering.surfels.mean,
        "world/tangents": rendering.surfels.tangents,
        "world/normal": rendering.surfels.normal,
        "world/opacity": rendering.surfels.opacity,
        "colour": rendering.colour.rgb,
    }
    for name, value in optimiser.named():
        tensors[f"parameter/{name}"] = value
        if value.grad is not None:
            tensors[f"gradient/{name}"] = value.grad
    target = folder / f"{images:08d}.safetensors"
    with beside(target) as temporary:
        safetensors.torch.save_file(
            {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, temporary
        )
    log.warning("The step's inputs were written to %s", target)

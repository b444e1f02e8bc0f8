"""Puts an avatar together from its components and its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.avatars.surfels import Surfels
from surfhead.core.components import Appearance, Deformer, Rasterizer, Rig
from surfhead.core.config import Choice, RunConfig
from surfhead.core.registry import registry


def make_rig(
    choice: Choice,
    scene_rig: str,
    scene_options: Mapping[str, Any],
    identity: Mapping[str, Tensor],
    device: Any,
) -> Rig:
    """The rig the data was tracked with (or the configured one), prepared for its identity."""
    name = scene_rig if choice.name == "auto" else choice.name
    options = {**(scene_options if name == scene_rig else {}), **choice.options}
    rig: Rig = registry().create("rig", name, options)
    rig.prepare({k: v.to(device) for k, v in identity.items()}, device)
    return rig


def make_parts(config: RunConfig, device: torch.device) -> tuple[Deformer, Appearance, Rasterizer]:
    """The configured deformer, appearance and rasterizer for a device."""
    found = registry()
    deformer: Deformer = found.create("deformer", config.deformer.name, config.deformer.options)
    appearance: Appearance = found.create(
        "appearance", config.appearance.name, config.appearance.options, length=config.iterations
    )
    rasterizer: Rasterizer = found.create(
        "rasterizer", config.rasterizer.name, config.rasterizer.options, device.type
    )
    return deformer, appearance, rasterizer


def make_ready(appearance: Appearance, rig: Rig, deformer: Deformer, device: torch.device) -> None:
    """Bring an appearance's network to the device and tell it the head at rest."""
    network = appearance.network()
    if network is not None:
        network.to(device)
    appearance.prepare(rig.rest() if deformer.rig_bound else None)


def assemble(
    surfels: Surfels,
    rig: Rig,
    deformer: Deformer,
    appearance: Appearance,
    rasterizer: Rasterizer,
    motion: Mapping[str, Tensor],
    background: Tensor,
    identity: Mapping[str, Tensor] | None = None,
) -> Avatar:
    """An avatar of components that are ready to draw; the arguments are those of ``Avatar``.

    Whoever has a trained network loads it first.
    """
    make_ready(appearance, rig, deformer, surfels.triangle.device)
    return Avatar(surfels, rig, deformer, appearance, rasterizer, motion, background, identity)

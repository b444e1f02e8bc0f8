"""Puts an avatar together from its components and its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.avatars.state import AvatarState
from surfhead.avatars.surfels import Surfels, merge_specs
from surfhead.core.components import Appearance, Deformer, Rasterizer, Rig
from surfhead.core.config import Choice, RunConfig
from surfhead.core.parameters import ParameterSpec
from surfhead.core.registry import registry
from surfhead.core.types import Topology


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


@dataclass(frozen=True)
class Parts:
    """The components an avatar draws with; the rig is prepared for its identity."""

    rig: Rig
    deformer: Deformer
    appearance: Appearance
    rasterizer: Rasterizer

    @property
    def topology(self) -> Topology | None:
        """The rig's, where the deformer needs one."""
        return self.rig.rest().topology if self.deformer.rig_bound else None

    def specs(self) -> dict[str, ParameterSpec]:
        """The per-surfel parameters of the core, the deformer and the appearance."""
        return merge_specs(self.deformer.parameters(), self.appearance.parameters())


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


def assemble(parts: Parts, state: AvatarState) -> Avatar:
    """The avatar of components and tensors that fit them (``AvatarState.check``)."""
    surfels = Surfels(parts.specs(), state.surfels, state.triangle, parts.topology)
    made = around(surfels, parts, state.motion, state.background, state.identity)
    network = parts.appearance.network()
    if network is not None and state.network:
        network.load_state_dict(dict(state.network))
    _make_ready(parts, surfels.triangle.device)
    made.observed = state.observed
    return made


def around(
    surfels: Surfels,
    parts: Parts,
    motion: Mapping[str, Tensor],
    background: Tensor,
    identity: Mapping[str, Tensor] | None = None,
) -> Avatar:
    """An avatar of components that are ready to draw, round surfels that others may share."""
    return Avatar(
        surfels, parts.rig, parts.deformer, parts.appearance, parts.rasterizer, motion, background, identity
    )


def redrawn(avatar: Avatar, deformer: Deformer, appearance: Appearance) -> Avatar:
    """The same avatar, surfels and all, drawn by another deformer and appearance that are ready to draw."""
    parts = Parts(avatar.rig, deformer, appearance, avatar.rasterizer)
    made = around(avatar.surfels, parts, avatar.motion, avatar.background, avatar.identity)
    made.images, made.observed = avatar.images, avatar.observed
    return made


def twin(original: Appearance, made: Appearance, avatar: Avatar) -> Appearance:
    """Give ``made`` the trained network of ``original`` and make it ready to draw ``avatar``."""
    with torch.random.fork_rng(devices=[]):  # networks draw their first weights; a run must not notice
        network = made.network()
    trained = original.network()
    if network is not None and trained is not None:
        network.load_state_dict(trained.state_dict())
    _make_ready(Parts(avatar.rig, avatar.deformer, made, avatar.rasterizer), avatar.device)
    made.advance(avatar.images)
    return made


def _make_ready(parts: Parts, device: torch.device) -> None:
    """Bring an appearance's network to the device and tell it the head at rest."""
    network = parts.appearance.network()
    if network is not None:
        network.to(device)
    parts.appearance.prepare(parts.rig.rest() if parts.deformer.rig_bound else None)

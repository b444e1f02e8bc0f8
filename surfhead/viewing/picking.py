"""The surfel under the mouse, and what is known of it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.avatars.rendering import Rendering
from surfhead.core.types import WorldSurfels
from surfhead.drawing.channels import OF_SURFELS, surfel_values

FAINTEST = 1.0 / 255.0


def picked(surfels: WorldSurfels, origin: Tensor, direction: Tensor) -> int | None:
    """The surfel that gives a ray most of its colour, or None where it meets none.

    Args:
        surfels: of one pose.
        origin, direction: (3,) of the ray, in the world.
    """
    mean, tangents, normal = surfels.mean[0], surfels.tangents[0], surfels.normal[0]
    direction = torch.nn.functional.normalize(direction, dim=0)
    along = normal @ direction
    depth = ((mean - origin) * normal).sum(dim=-1) / torch.where(along.abs() < 1e-6, 1e-6, along)
    away = origin + depth[:, None] * direction - mean
    plane = torch.einsum("nij,ni->nj", tangents, away) / tangents.square().sum(dim=1).clamp_min(1e-20)
    alpha = surfels.opacity * torch.exp(-0.5 * plane.square().sum(dim=-1))
    alpha = torch.where((depth > 0.0) & (alpha >= FAINTEST), alpha.clamp_max(0.99), 0.0)
    order = torch.argsort(depth)
    clear = torch.cumprod(1.0 - alpha[order], dim=0)
    weight = alpha[order] * torch.cat([clear.new_ones(1), clear[:-1]])
    best = int(weight.argmax())
    return int(order[best]) if float(weight[best]) > 0.0 else None


def values_of(avatar: Avatar, rendering: Rendering, index: int) -> Mapping[str, str]:
    """What is known of one surfel, name -> words with units."""
    surfels = rendering.surfels
    raw = avatar.surfels
    sides = surfels.tangents[0, index].norm(dim=0) * 1000.0
    place = ", ".join(f"{1000 * value:.1f}" for value in surfels.mean[0, index].tolist())
    made = {
        "surfel": f"{index:,} of {len(raw):,}",
        "centre": f"{place} mm",
        "radii": f"{float(sides[0]):.2f} x {float(sides[1]):.2f} mm",
        "opacity": f"{float(surfels.opacity[index]):.3f}",
    }
    if raw.topology is not None:
        triangle = int(raw.triangle[index])
        regions = [name for name, members in raw.topology.regions.items() if bool(members[triangle])]
        made["triangle"] = f"{triangle:,} ({', '.join(regions) or 'no region'})"
    for name in OF_SURFELS[1:]:
        if name == "observed" and avatar.observed is None:
            continue
        made[name] = f"{float(surfel_values(avatar, rendering, name)[index, 0]):.3f}"
    return made

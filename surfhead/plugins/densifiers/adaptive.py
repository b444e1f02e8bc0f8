"""Adaptive density control (3DGS, section 5.2) that keeps every triangle of the rig covered.

Every ``every`` images from ``start`` to ``stop``, surfels whose screen centre's mean gradient over the views
that saw them exceeds ``threshold`` are cloned when small (largest world scale up to ``dense_fraction`` of the
scene's extent), else split; children keep host and blend logits. Surfels more transparent than ``cull`` are
pruned and, after the first reset, those that are too large and not about to be split. When all surfels of a
triangle would go, the most opaque stays (the one of lowest index among equals), as it is.

Every ``reset_every`` images, after that image's densifying and pruning, opacities are lowered to at most
``reset_opacity``, so that unneeded surfels fade and get pruned. Resets happen before ``stop`` only,
and nothing happens at the run's last image: no step would follow to mend it.

All counts are images, not steps. A batch that passes several moments at once counts them once. The defaults
are the published schedule for 300k images (SurFhead).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from surfhead.core.api import Densifier, DensifyPlan, DensifyState, option


class Adaptive(Densifier):
    """Clone, split, prune and reset by statistics of the screen."""

    name = "adaptive"
    summary = "Clone, split and prune by screen-space gradients (3DGS), keeping all triangles covered."
    keeps_covered = True

    @dataclass(frozen=True)
    class Options:
        """When, and by which limits."""

        start: int = option(5000, "First image count at which to densify.", of=300_000, low=0)
        stop: int = option(
            150_000,
            "Last image count at which to densify; no reset from here on.",
            of=300_000,
            end=True,
            low=0,
        )
        every: int = option(1000, "Images between plans; 0 = never.", of=300_000, least=20, low=0)
        threshold: float = option(
            2e-4,
            "Mean gradient of the screen centre, in device coordinates, above which a surfel densifies.",
            low=0,
        )
        dense_fraction: float = option(
            0.01, "Largest world scale, as a fraction of the extent, that is cloned and not split.", low=0
        )
        cull: float = option(0.05, "Opacity below which a surfel is pruned.", low=0, below=1)
        reset_every: int = option(
            30_000, "Images between opacity resets; 0 = never.", of=300_000, least=500, low=0
        )
        reset_opacity: float = option(0.01, "Opacity left by a reset, at most.", above=0, below=1)
        large_fraction: float = option(
            0.1,
            "World scale, as a fraction of the extent, above which a surfel is too large; 0 = no limit.",
            low=0,
        )
        large_radius: float = option(
            0.0, "Screen radius in pixels above which a surfel is too large; 0 = no limit.", low=0
        )
        children: int = option(2, "Children of a split surfel.", low=2, high=64)
        shrink: float = option(1.6, "A child's scale is its parent's divided by this.", low=1, high=1000)
        teeth_gain: float = option(
            1.0, "Factor on the gradients of the teeth (published final: 20).", low=0, high=1e6
        )
        detach_eyeballs: bool = option(True, "Never clone or split on the eyeballs.")
        max_surfels: int = option(
            0, "Most surfels there may be, those of largest gradient first; 0 = no limit.", low=0, high=10**9
        )
        reserve: float = option(
            0.0, "Share of max_surfels that is left for what closes holes after the last step.", low=0, high=1
        )

    options: Options

    def due(self, before: int, after: int, length: int) -> bool:
        """Whether a moment to densify or to reset lies in (before, after], which ``plan`` then does."""
        return any(self._moments(before, after, length))

    def _moments(self, before: int, after: int, length: int) -> tuple[bool, bool]:
        """Whether to densify, and whether to reset, for the images (before, after]."""
        options = self.options
        densify = _moment(before, after, options.every, max(options.start, 1), min(options.stop, length - 1))
        reset = _moment(before, after, options.reset_every, 1, min(options.stop, length) - 1)
        return densify, reset

    def plan(self, state: DensifyState) -> DensifyPlan:
        """The plan for what is due in (since, images]."""
        before = state.images - 1 if state.since is None else state.since
        densify, reset = self._moments(before, state.images, state.length)
        options = self.options
        nothing = torch.zeros_like(state.opacity, dtype=torch.bool)
        clone, split, prune = self._densify(state, before) if densify else (nothing, nothing, nothing)
        return DensifyPlan(
            clone,
            split,
            prune,
            children=options.children,
            shrink=options.shrink,
            opacity_ceiling=options.reset_opacity if reset else None,
        )

    def most(self) -> int:
        """The option ``max_surfels``."""
        return self.options.max_surfels

    def _densify(self, state: DensifyState, before: int) -> tuple[Tensor, Tensor, Tensor]:
        """(N,) which to clone, to split and to prune."""
        options = self.options
        regions = state.binding.regions
        gradient = state.gradient
        if "teeth" in regions:
            teeth = regions["teeth"]
            gradient = gradient.index_copy(0, teeth, gradient[teeth] * options.teeth_gain)
        if options.detach_eyeballs and "eyeballs" in regions:
            gradient = gradient.index_fill(0, regions["eyeballs"], 0.0)
        if "hidden" in regions:
            gradient = gradient.index_fill(0, regions["hidden"], 0.0)
        growing = gradient > options.threshold
        small = state.world_scale <= options.dense_fraction * state.extent
        clone, split = growing & small, growing & ~small

        pruned = state.opacity < options.cull
        if 0 < options.reset_every <= before:
            if options.large_fraction > 0:
                pruned = pruned | (~split & (state.world_scale > options.large_fraction * state.extent))
            if options.large_radius > 0:
                pruned = pruned | (~split & (state.radius > options.large_radius))
        clone, split = clone & ~pruned, split & ~pruned
        prune = pruned & ~_last_of_triangle(state.binding.triangle, state.opacity, pruned)
        if "hidden" in regions:  # they stay in any case, and count among max_surfels
            prune = prune.index_fill(0, regions["hidden"], False)
        if options.max_surfels > 0:
            room = round((1.0 - options.reserve) * options.max_surfels) - len(prune) + int(prune.sum())
            chosen = _largest_within(gradient, clone + (options.children - 1) * split, room)
            clone, split = clone & chosen, split & chosen
        return clone, split, prune


def _moment(before: int, after: int, every: int, first: int, last: int) -> bool:
    """Whether a multiple of ``every`` that lies in [first, last] lies in (before, after]."""
    if every == 0:
        return False
    latest = min(after, last) // every * every
    return latest > before and latest >= first


def _last_of_triangle(triangle: Tensor, opacity: Tensor, pruned: Tensor) -> Tensor:
    """(N,) bool: the most opaque surfel of every triangle of which all surfels are pruned.

    Args:
        triangle: (N,) hosts; surfels without one (-1) are never kept.
        opacity: (N,) in [0, 1].
        pruned: (N,) bool.
    """
    count = len(triangle)
    if count == 0:
        return torch.zeros_like(pruned)
    slot = triangle + 1  # slot 0 holds the surfels without a host
    slots = int(slot.max()) + 1
    survivors = torch.zeros(slots, dtype=torch.int64, device=slot.device).index_add(0, slot, (~pruned).long())
    best = opacity.new_full((slots,), -1.0).scatter_reduce(0, slot, opacity, "amax")
    index = torch.arange(count, device=slot.device)
    candidate = (survivors[slot] == 0) & (opacity == best[slot]) & (slot > 0)
    # the lowest index among equally opaque ones
    first = torch.full((slots,), count, device=slot.device).scatter_reduce(
        0, slot, torch.where(candidate, index, count), "amin"
    )
    return index == first[slot]


def _largest_within(gradient: Tensor, growth: Tensor, room: int) -> Tensor:
    """(N,) bool: the surfels of largest gradient whose growths together stay within ``room``."""
    order = torch.argsort(torch.where(growth > 0, gradient, -1.0), descending=True, stable=True)
    fits = torch.cumsum(growth[order].long(), dim=0) <= room
    return torch.zeros_like(fits).index_copy(0, order, fits)

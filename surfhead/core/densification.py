"""What passes between the core and a densifier: the statistics it sees and the plan it returns."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from surfhead.core.types import Binding


@dataclass(frozen=True)
class DensifyPlan:
    """What to do with the surfels; the core applies it to every parameter and the optimiser.

    Attributes:
        clone: (N,) bool, duplicate.
        split: (N,) bool, replace by ``children`` samples drawn inside the surfel.
        prune: (N,) bool, remove.
        children: children of a split surfel.
        shrink: a child's scale is the parent's divided by this.
        opacity_ceiling: afterwards lower all opacities to at most this, or None.
    """

    clone: Tensor
    split: Tensor
    prune: Tensor
    children: int = 2
    shrink: float = 1.6
    opacity_ceiling: float | None = None


@dataclass(frozen=True)
class DensifyState:
    """What a densifier sees when it is asked for a plan.

    Attributes:
        images: training images seen.
        length: images of the whole run.
        gradient: (N,) mean over the views that saw the surfel of the gradient of its screen centre.
        radius: (N,) largest screen radius since the last plan, pixels.
        world_scale: (N,) largest world-space standard deviation, metres.
        opacity: (N,) in [0, 1].
        binding: hosts, parameters, regions.
        extent: the scene's extent, metres.
        image_size: (height, width) in pixels.
        since: training images seen before the step, so that the plan is for (since, images]; None: one fewer.
    """

    images: int
    length: int
    gradient: Tensor
    radius: Tensor
    world_scale: Tensor
    opacity: Tensor
    binding: Binding
    extent: float
    image_size: tuple[int, int]
    since: int | None = None

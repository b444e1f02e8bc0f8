"""What is summed up about every surfel between two plans of a densifier."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from surfhead.core.types import Cameras, RenderOutput
from surfhead.kernels import ops

if TYPE_CHECKING:
    from surfhead.training.ranks import Ranks


class Statistics:
    """Running sums per surfel between two plans (method: section 5, densification statistic).

    Attributes:
        gradient: (N,) sum over views of the gradient of the screen centre in device coordinates.
        seen: (N,) number of views that saw the surfel.
        radius: (N,) largest screen radius, pixels.
    """

    def __init__(self, count: int, device: torch.device | str) -> None:
        self.gradient = torch.zeros(count, device=device)
        self.seen = torch.zeros(count, device=device)
        self.radius = torch.zeros(count, device=device)

    def update(self, mean: Tensor, cameras: Cameras, output: RenderOutput) -> None:
        """Add a step (``ops.screen_gradients``).

        Args:
            mean: (B, N, 3) world centres as given to the rasterizer, with ``.grad``; one pose a view.
            cameras: the B cameras.
            output: what was rendered.
        """
        if mean.grad is None:
            return
        ops.screen_gradients(
            mean.grad,
            mean.detach(),
            cameras.camera_from_world,
            cameras.intrinsics,
            (cameras.height, cameras.width),
            output.visible,
            output.radius,
            (self.gradient, self.seen, self.radius),
        )

    def mean_gradient(self) -> Tensor:
        """(N,) mean over the views that saw the surfel; 0 where none did."""
        return self.gradient / self.seen.clamp_min(1)

    def gather(self, ranks: Ranks) -> Statistics:
        """The statistics of all processes together; from now on the first one keeps them, the others none.

        So a run that goes on adds up in the same order as one that was continued from a checkpoint.
        """
        if ranks.count == 1:
            return self
        total = Statistics(len(self.seen), self.seen.device)
        total.gradient, total.seen = ranks.sum(self.gradient), ranks.sum(self.seen)
        total.radius = ranks.largest(self.radius)
        for name, value in total.tensors().items():
            # in place, like every update
            getattr(self, name).copy_(value if ranks.first else torch.zeros_like(value))
        return total

    def tensors(self) -> dict[str, Tensor]:
        """For a checkpoint."""
        return {"gradient": self.gradient, "seen": self.seen, "radius": self.radius}

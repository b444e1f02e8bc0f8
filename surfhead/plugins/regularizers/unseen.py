"""A weak hold on what no picture determines: every surfel's parameters towards what its surroundings suggest.

The photometric loss says nothing of surfels that no training view shows, and little of directions outside
the cameras' cone; they keep the values they started, were split or were last pushed with, and show in poses
and views that were not trained. The term is the negative logarithm of a Gaussian prior of tiny weight: where
pictures say anything it is drowned, and where they say nothing Adam, which divides a gradient by its own
size, follows it at the full rate. So it needs no measure of who was seen, and what is seen adapts to it
while it learns.

The prior's mean follows from what a parameter declares (`ParameterSpec.unseen`): ``neighbours``: the mean of
the surfels of the host triangle and of the three across its edges, weighted by opacity and held fixed (the
discrete harmonic extension over the rest mesh, in the limit); ``initial``: its start; ``surface``: the
nearest point on the host triangle, for it is from there that a pose the training did not show moves it. In
units of a pixel's certainty the weight w says as much as w P / N pixels of every batch, P its pixels in one
picture and N the surfels: 1e-4 is less than a thousandth of a pixel for 100,000 surfels and pictures of half
a million pixels. At 0.01 it still rules surfels that a pixel of one picture in twenty shows, and keeps opaque
what should fade.

Behind the front of a head the pictures seem to say something: a front of many surfels lets a hundredth of the
light through, and the surfels at the back learn from it to look like the face before them, at Adam's full
rate. That outweighs a prior of 1e-4. So the term is ``hidden`` times as strong on surfels of the region of
that name: rays of hardly any training picture meet their triangle first.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from surfhead.core.api import Regularizer, Step, option
from surfhead.kernels import ops

REACH = 2.0 / 3.0  # of a triangle's middle to its corners, in units of its scale, about


class Unseen(Regularizer):
    """Distance of the parameters from what their surroundings suggest."""

    name = "unseen"
    summary = "A weak hold on surfels and directions that no training view determines."
    capturable = True
    weight = 1e-4
    regions = ("hidden",)

    @dataclass(frozen=True)
    class Options:
        """What is left alone."""

        keep: tuple[str, ...] = option((), "Parameters that are left alone, such as log_scale.")
        hidden: float = option(
            30.0, "Times as strong where no training picture shows the triangle.", low=1.0, high=1e6
        )

    options: Options

    def __call__(self, step: Step) -> Tensor:
        """Half the mean over the surfels of the squared distances, in the raw parameters' units.

        Surfels of the region ``hidden`` count as many times as the option says.
        """
        parts: list[tuple[Tensor, Tensor]] = []  # values and what is suggested for them
        alike: list[Tensor] = []
        binding = step.binding
        count = len(binding.triangle)
        generator = torch.Generator()
        for name, spec in binding.specs.items():
            if name in self.options.keep:
                continue
            value = binding.parameters[name].flatten(1) if spec.shape else binding.parameters[name][:, None]
            if spec.unseen == "neighbours" and step.mesh is not None:
                alike.append(value)
            elif spec.unseen == "initial" and not callable(spec.initial):
                start = spec.start(1, generator).reshape(1, -1)
                parts.append((value, _placed(start, value)))
            elif spec.unseen == "surface":
                parts.append((value, _on_triangle(value.detach())))
        if alike and step.mesh is not None:
            own = torch.cat(alike, dim=1)
            goal = ops.surroundings(
                own, step.surfels.opacity, binding.triangle, step.mesh.topology.neighbours
            )
            parts.append((own, goal))
        if not parts:
            return step.surfels.opacity.sum() * 0.0
        weight, hidden = step.surfels.opacity.new_ones(count), binding.regions.get("hidden")
        if hidden is not None and len(hidden):
            weight.index_fill_(0, hidden, self.options.hidden)
        total = sum(
            (ops.weighted_squares(value, goal, weight) for value, goal in parts), start=weight.new_zeros(())
        )
        return 0.5 * total / max(count, 1)


def _placed(start: Tensor, like: Tensor) -> Tensor:
    """A row of numbers on the device of ``like``, made there so that a graph can hold it."""
    numbers = start[0].tolist()
    if len(set(numbers)) == 1:
        return torch.full((1, 1), numbers[0], device=like.device)
    return torch.stack([torch.full((), number, device=like.device) for number in numbers])[None]


def _on_triangle(offset: Tensor) -> Tensor:
    """(N, 3) the nearest points in the triangle's plane, ``REACH`` from its middle at most."""
    x, y = offset[:, 0], offset[:, 1]
    near = REACH / (x * x + y * y).sqrt().clamp_min(REACH)
    return torch.stack((x * near, y * near, torch.zeros_like(x)), dim=1)

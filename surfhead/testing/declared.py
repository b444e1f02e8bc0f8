"""What deformers and appearance models share: the per-surfel parameters they declare."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from surfhead.avatars.surfels import merge_specs
from surfhead.core.parameters import ParameterSpec, Schedule
from surfhead.core.types import Binding
from surfhead.testing import tiny
from surfhead.testing.suite import require
from surfhead.testing.values import require_finite, require_shape


def require_valid(specs: Mapping[str, ParameterSpec]) -> None:
    """Raise ContractError unless the core can allocate, schedule and name these parameters."""
    require(isinstance(specs, Mapping), f"parameters() gave a {type(specs).__name__}.", "Expected a mapping.")
    merge_specs(specs)  # raises where a name of the core is taken
    for name, spec in specs.items():
        require(isinstance(spec, ParameterSpec), f'"{name}" is a {type(spec).__name__}.')
        require(isinstance(spec.rate, Schedule), f'The rate of "{name}" is no Schedule.')
        for count in (0, 1, 7):
            value = spec.start(count, tiny.generator())
            require_shape(value, (count, *spec.shape), f'The start of "{name}"')
            require(value.dtype == torch.float32, f'The start of "{name}" is {value.dtype}.')
            require_finite(value, f'The start of "{name}"')


def require_region_alone(spec: ParameterSpec, name: str, gradient: Tensor, binding: Binding) -> None:
    """Raise ContractError where surfels off the region that a parameter declares get a gradient on it."""
    others = torch.ones(len(binding), dtype=torch.bool)
    others.index_fill_(0, binding.regions.get(spec.region, torch.arange(len(binding))), False)
    require(
        not bool(gradient[others].any()),
        f'Parameter "{name}" gets a gradient off its region "{spec.region}".',
        "Expected none, as processes that train together exchange the region's alone: leave `region` out.",
    )


def learning(binding: Binding) -> tuple[Binding, dict[str, Tensor]]:
    """The binding with its parameters as leaves that collect gradients, and these leaves."""
    leaves = {name: value.detach().clone().requires_grad_() for name, value in binding.parameters.items()}
    return Binding(binding.triangle, leaves, binding.regions), leaves

"""The learnable surfels: raw parameters by name, their hosts, and what a densifying plan does to them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from surfhead.core.densification import DensifyPlan
from surfhead.core.errors import ContractError
from surfhead.core.parameters import ParameterSpec, Schedule, with_role
from surfhead.core.types import AffineField, Binding, Topology, WorldSurfels
from surfhead.kernels import ops
from surfhead.maths.geometry import quaternion_to_matrix

CORE_PARAMETERS: dict[str, ParameterSpec] = {
    "offset": ParameterSpec(
        (3,), 0.0, Schedule(5e-3, 5e-5), scaled_by_extent=True, detachable=True, unseen="surface"
    ),
    "log_scale": ParameterSpec((2,), 0.0, Schedule(0.017), group="scale", unseen="neighbours"),
    "quaternion": ParameterSpec(
        (4,), (1.0, 0.0, 0.0, 0.0), Schedule(1e-3), group="rotation", detachable=True, unseen="initial"
    ),
    "opacity": ParameterSpec((), math.log(0.1 / 0.9), Schedule(0.05), unseen="neighbours"),
}

_GENERATIONS = itertools.count()


@dataclass(frozen=True)
class Selection:
    """How the surfels after a change of their number come from those before it.

    Attributes:
        source: (M,) int64 index of the surfel each new one comes from.
        fresh: (M,) bool, made by cloning, splitting or adding: its optimiser state starts at zero.
    """

    source: Tensor
    fresh: Tensor

    @classmethod
    def grown(cls, count: int, added: Tensor) -> Selection:
        """All of ``count`` surfels, and behind them copies of some, (K,) int64."""
        source = torch.cat((torch.arange(count, device=added.device), added))
        return cls(source, torch.arange(len(source), device=added.device) >= count)


class Surfels:
    """N surfels with named raw parameters (method: section 2).

    Attributes:
        specs: name -> declaration, the core's and those of deformer and appearance.
        parameters: name -> leaf tensor (N, *shape).
        triangle: (N,) int64 host triangle, -1 without a rig.
        generation: a number that no other set of tensors in this process has had, those of regions included.
    """

    def __init__(
        self,
        specs: Mapping[str, ParameterSpec],
        parameters: Mapping[str, Tensor],
        triangle: Tensor,
        topology: Topology | None,
    ) -> None:
        self.specs = dict(specs)
        self.parameters = {name: value.requires_grad_() for name, value in parameters.items()}
        self.triangle = triangle
        self.topology = topology
        self.generation = next(_GENERATIONS)
        self._regions: dict[str, Tensor] | None = None
        self._frozen: dict[tuple[str, ...], Tensor | None] = {}

    @classmethod
    def create(
        cls,
        specs: Mapping[str, ParameterSpec],
        triangle: Tensor,
        topology: Topology | None,
        generator: torch.Generator,
        device: torch.device | str = "cpu",
    ) -> Surfels:
        """Surfels with the declared starting values, one for each entry of ``triangle``."""
        count = len(triangle)
        values = {name: spec.start(count, generator).to(device) for name, spec in specs.items()}
        return cls(specs, values, triangle.to(device), topology)

    def __len__(self) -> int:
        return len(self.triangle)

    @property
    def regions(self) -> dict[str, Tensor]:
        """Indices of the surfels in each region of the rig, made once after every change of hosts."""
        if self._regions is None:
            self._regions, self._frozen = {}, {}
            if self.topology is not None:
                for name, inside in self.topology.regions.items():
                    self._regions[name] = inside[self.triangle].nonzero().squeeze(1)
        return self._regions

    def mark(self, region: str, inside: Tensor) -> None:
        """Name the surfels of some triangles, a mask (F,), a region beside the rig's own."""
        if self.topology is not None:
            regions = {**self.topology.regions, region: inside.to(self.triangle.device)}
            self.topology = replace(self.topology, regions=regions)
            self.generation = next(_GENERATIONS)  # captured work reads indices where they lay
            self._regions = None

    def rebind(self, which: Tensor, triangle: Tensor) -> None:
        """Give some surfels, (M,) int64, other hosts, (M,) int64; their parameters stay."""
        self.triangle = self.triangle.index_copy(0, which, triangle)
        self.generation = next(_GENERATIONS)
        self._regions = None

    def binding(self) -> Binding:
        """What deformers and appearance models see."""
        return Binding(self.triangle, self.parameters, self.regions, self.specs)

    def frozen(self, name: str, detached: Iterable[str]) -> Tensor | None:
        """Indices, ascending, of the surfels that get no gradient on this parameter; None: all get it."""
        spec = self.specs[name]
        regions = set(spec.frozen_regions) | (set(detached) if spec.detachable else set())
        known = tuple(r for r in sorted(regions) if r in self.regions)
        if known not in self._frozen:  # one index: it is asked for in every step
            each = [self.regions[r] for r in known]
            self._frozen[known] = torch.unique(torch.cat(each)) if each else None
        found = self._frozen[known]
        return found if found is not None and len(found) else None

    def learning(self, name: str) -> Tensor | None:
        """Indices, ascending, of the surfels that alone ever get a gradient on this parameter; None: all."""
        return self.regions.get(self.specs[name].region)

    @torch.no_grad()
    def select(self, selection: Selection) -> None:
        """Become the surfels that a selection names: in new tensors, with their values and hosts."""
        source = selection.source
        values = {name: value.detach()[source].clone() for name, value in self.parameters.items()}
        self.parameters = {name: value.requires_grad_() for name, value in values.items()}
        self.triangle = self.triangle[source]
        self.generation = next(_GENERATIONS)
        self._regions = None

    @torch.no_grad()
    def apply(self, plan: DensifyPlan, generator: torch.Generator) -> Selection:
        """Clone, split and prune; gives where every surviving surfel came from.

        Split children are drawn inside the surfel from its own Gaussian (3DGS, section 5.2), with the
        scale divided by ``plan.shrink``; children keep host and blend logits. Surfels of the region
        ``hidden`` stay as many as they are: what the pictures ask of them is asked of what hides them.
        """
        plan = self._sparing(plan)
        device = self.triangle.device
        count = len(self)
        index = torch.arange(count, device=device)
        keep = index[~(plan.prune | plan.split)]
        clones = index[plan.clone & ~plan.prune]
        parents = index[plan.split & ~plan.prune].repeat_interleave(plan.children)
        source = torch.cat([keep, clones, parents])
        fresh = torch.zeros(len(source), dtype=torch.bool, device=device)
        fresh[len(keep) :] = True
        selection = Selection(source, fresh)
        self.select(selection)
        values = self.parameters
        if len(parents):
            rows = slice(len(source) - len(parents), None)
            scale = values["log_scale"][rows].exp()
            noise = torch.randn(len(parents), 2, generator=generator).to(scale)
            turn = quaternion_to_matrix(values["quaternion"][rows])[:, :, :2]
            values["offset"][rows] += torch.einsum("nij,nj->ni", turn, noise * scale)
            values["log_scale"][rows] -= math.log(plan.shrink)
        if plan.opacity_ceiling is not None:
            ceiling = plan.opacity_ceiling
            values["opacity"].clamp_(max=math.log(ceiling / (1.0 - ceiling)))
        return selection

    def _sparing(self, plan: DensifyPlan) -> DensifyPlan:
        """The plan without what it would do to the region ``hidden``."""
        hidden = self.regions.get("hidden")
        if hidden is None or len(hidden) == 0:
            return plan
        seen = torch.ones_like(plan.prune).index_fill_(0, hidden, False)
        return replace(plan, clone=plan.clone & seen, split=plan.split & seen, prune=plan.prune & seen)


def merge_specs(*declared: Mapping[str, ParameterSpec]) -> dict[str, ParameterSpec]:
    """The core's parameters with those of the components. Raises ContractError when two claim a name."""
    merged = dict(CORE_PARAMETERS)
    for specs in declared:
        for name, spec in specs.items():
            if name in merged:
                raise ContractError(
                    f'Two components declare the per-surfel parameter "{name}".',
                    f"Taken: {', '.join(merged)}.",
                    "Rename it in the plugin.",
                )
            taken = with_role(merged, spec.role) if spec.role else None
            if taken is not None:
                raise ContractError(
                    f'The parameters "{taken}" and "{name}" both declare the role "{spec.role}".',
                    "Expected at most one parameter of a role.",
                    "Leave `role` out of one of them.",
                )
            merged[name] = spec
    return merged


def apply_field(field: AffineField, binding: Binding) -> WorldSurfels:
    """Carry the canonical surfels into the world (method: section 4)."""
    raw = binding.parameters
    mean, tangents, normal = ops.apply_field(
        field.linear, field.origin, raw["offset"], raw["log_scale"], raw["quaternion"]
    )
    return WorldSurfels(mean, tangents, normal, torch.sigmoid(raw["opacity"]))


def carry(field: AffineField, binding: Binding) -> tuple[WorldSurfels, AffineField]:
    """``apply_field``, and the field for whoever reads it after (``ops.apply_field_passing``)."""
    raw = binding.parameters
    mean, tangents, normal, linear = ops.apply_field_passing(
        field.linear, field.origin, raw["offset"], raw["log_scale"], raw["quaternion"]
    )
    world = WorldSurfels(mean, tangents, normal, torch.sigmoid(raw["opacity"]))
    return world, field if linear is field.linear else replace(field, linear=linear)

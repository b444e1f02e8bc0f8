"""An avatar as named tensors, and back: the one place that knows what a checkpoint calls them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from surfhead.core.components import Rig
from surfhead.core.parameters import ParameterSpec
from surfhead.core.types import Topology

ABSURD = 1e6  # no parameter of a surfel or a rig is as large
WIDEST = 30.0  # of a logarithm of a scale; e to the power of 45, squared, is infinite in float32
GROUPS = ("surfels", "motion", "identity", "network")  # each a mapping, below its name and a slash


def below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors named ``prefix/...``, without the prefix."""
    start = prefix + "/"
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors named ``prefix/...``; ``below`` gives them back."""
    return {f"{prefix}/{name}": value for name, value in tensors.items()}


@dataclass(frozen=True)
class AvatarState:
    """All tensors of an avatar that a file holds; its components are made from a configuration.

    Attributes:
        triangle: (N,) int64 host triangles, -1 without a rig.
        background: (3,) RGB in [0, 1].
        surfels: name -> (N, ...) raw parameters.
        motion: name -> (T, d) rig parameters.
        identity: name -> tensor, the rig's identity.
        network: the appearance's state; None: it starts anew; empty: it has none.
        observed: (N,) in [0, 1], how well the training views know each surfel; None: not measured.
    """

    triangle: Tensor
    background: Tensor
    surfels: Mapping[str, Tensor]
    motion: Mapping[str, Tensor] = field(default_factory=dict)
    identity: Mapping[str, Tensor] = field(default_factory=dict)
    network: Mapping[str, Tensor] | None = None
    observed: Tensor | None = None

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], device: torch.device | str) -> AvatarState:
        """The state in a checkpoint's tensors, which hold other things, too.

        Raises:
            KeyError, ValueError: a tensor is missing, or has a shape or values that no avatar has.
        """
        groups = {name: below(tensors, name) for name in GROUPS}
        made = cls(
            tensors["triangle"].to(device),
            tensors["background"].to(device),
            observed=tensors["observed"].to(device) if "observed" in tensors else None,
            **groups,
        )
        count = len(made.triangle)
        _expect("triangle", made.triangle, (count,), torch.int64)
        _expect("background", made.background, (3,))
        if made.observed is not None:
            _expect("observed", made.observed, (count,))
        for name, value in made.surfels.items():
            _expect(name, value, (count, *value.shape[1:]))
        length = max((len(rows) for rows in made.motion.values()), default=0)
        for name, rows in made.motion.items():
            _expect(name, rows, (length, *rows.shape[1:2]))
        made.check_values()
        return made

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by the names they have in a checkpoint."""
        return dict(self._named())

    def _named(self) -> Iterator[tuple[str, Tensor]]:
        yield "triangle", self.triangle
        yield "background", self.background
        for group in GROUPS:
            yield from under(group, getattr(self, group) or {}).items()
        if self.observed is not None:
            yield "observed", self.observed

    def check_values(self) -> None:
        """See that every number can be drawn and written. Raises ValueError naming a tensor and how many."""
        for name, value in self._named():
            if count := absurd(name.rpartition("/")[2], value):
                of = f"{count} of {value.numel()} values"
                raise ValueError(f'"{name}" holds NaN, infinity or numbers without sense: {of}')

    def check_hosts(self, topology: Topology | None) -> None:
        """See that every host triangle is one of the rig's. Raises ValueError."""
        least, last = (-1, -1) if topology is None else (0, len(topology.triangles) - 1)
        outside = int(((self.triangle < least) | (self.triangle > last)).sum())
        if outside:
            of = f"{outside} of {len(self.triangle)} surfels"
            raise ValueError(f'"triangle" names hosts outside {least} to {last} for {of}')

    def check(
        self,
        specs: Mapping[str, ParameterSpec],
        rig: Rig,
        topology: Topology | None,
        network: Mapping[str, Tensor],
    ) -> None:
        """See that the tensors fit what the components declare.

        Args:
            specs: of the surfels' parameters.
            rig: prepared for the identity.
            topology: the rig's; None where the deformer needs none.
            network: a state like the appearance's; empty where it has no network.

        Raises:
            ValueError: naming what does not fit.
        """
        count = len(self.triangle)
        _same_names("surfel parameter", self.surfels, specs)
        for name, spec in specs.items():
            _expect(name, self.surfels[name], (count, *spec.shape))
        self.check_hosts(topology)
        known = rig.parameters()
        for name, rows in self.motion.items():
            if name not in known:
                raise ValueError(f'rig "{rig.name}" has no parameter "{name}"')
            _expect(name, rows, (len(rows), known[name].size))
        if self.network is not None and network:
            _same_names("network tensor", self.network, network)
            for name, value in network.items():
                _expect(name, self.network[name], tuple(value.shape), value.dtype)


def absurd(name: str, value: Tensor) -> int:
    """How many values of a tensor no avatar has: NaN, infinite, larger than anything, of no rotation.

    Args:
        name: of the parameter, without its group.
        value: of any shape.
    """
    if not value.is_floating_point():
        return 0
    value = value.detach()
    bad = ~(value.abs() <= ABSURD)
    if name == "log_scale":
        bad |= value > WIDEST
    if name == "quaternion":
        bad |= (value == 0).all(dim=-1, keepdim=True)
    return int(bad.sum())


def _same_names(kind: str, given: Mapping[str, object], expected: Mapping[str, object]) -> None:
    if given.keys() != expected.keys():
        odd = min(given.keys() ^ expected.keys())
        raise ValueError(f'{kind} "{odd}" is {"missing" if odd in expected else "unknown"}')


def _expect(name: str, value: Tensor, shape: tuple[int, ...], kind: torch.dtype = torch.float32) -> None:
    """Raise ValueError where a tensor has another shape or type."""
    if tuple(value.shape) != shape or value.dtype != kind:
        raise ValueError(f'"{name}" is {value.dtype} {tuple(value.shape)}, not {kind} {shape}')

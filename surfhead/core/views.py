"""What may be read of an avatar by those who know only the core.

The classes themselves are ``surfhead.avatars.surfels.Surfels`` and ``surfhead.avatars.avatar.Avatar``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from surfhead.core.parameters import ParameterSpec
from surfhead.core.types import Binding, Topology


class SurfelsView(Protocol):
    """An avatar's surfels.

    Attributes:
        parameters: name -> (N, ...) raw values.
        triangle: (N,) int64 host triangles, -1 without a rig.
        specs: name -> what it is.
        topology: of the rig's mesh, or None.
    """

    @property
    def parameters(self) -> Mapping[str, Tensor]:
        """Raw values by name."""

    @property
    def triangle(self) -> Tensor:
        """Host triangles."""

    @property
    def topology(self) -> Topology | None:
        """Of the rig's mesh."""

    @property
    def specs(self) -> Mapping[str, ParameterSpec]:
        """What each parameter is."""

    def binding(self) -> Binding:
        """Hosts, parameters and regions, as components take them."""

    def __len__(self) -> int: ...


class BareView(Protocol):
    """An avatar without its components.

    Attributes:
        background: (3,) RGB in [0, 1].
        images: training images seen.
    """

    background: Tensor
    images: int

    @property
    def surfels(self) -> SurfelsView:
        """The learnable surfels."""

    @property
    def motion(self) -> Mapping[str, Tensor]:
        """Name -> (T, d) rig parameters of the timesteps it was trained on."""

    @property
    def identity(self) -> Mapping[str, Tensor]:
        """Name -> tensor, the rig's identity."""

    @property
    def device(self) -> torch.device:
        """Where the surfels live."""

    @property
    def timesteps(self) -> int:
        """Number of timesteps of its own motion."""

    def poses(self, timesteps: Tensor) -> Mapping[str, Tensor]:
        """Rig parameters (P, d) of its own timesteps."""

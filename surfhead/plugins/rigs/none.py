"""No rig: for static scenes, whose surfels hang on no triangle and start from the data set's points.

Its mesh is empty; it has no parameters and no joints.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from surfhead.core.api import Mesh, RestMesh, Rig, RigParameter, ShapeError, Topology


class NoRig(Rig):
    """An empty mesh in one pose."""

    name = "none"
    summary = "No rig, for static scenes."
    capturable = True

    def __init__(self, options: object = None) -> None:
        super().__init__(options)
        self._rest = _empty("cpu")

    def parameters(self) -> Mapping[str, RigParameter]:
        """None."""
        return {}

    def prepare(self, identity: Mapping[str, Tensor], device: Any = "cpu") -> RestMesh:
        """The empty mesh on ``device``; an identity has nothing to act on."""
        if identity:
            raise ShapeError(
                f'Rig "none" has no identity, but was given "{sorted(identity)[0]}".',
                "Expected an empty identity.",
                "Choose with --rig the one this identity belongs to.",
            )
        self._rest = _empty(device)
        return self._rest

    def rest(self) -> RestMesh:
        """The empty mesh."""
        return self._rest

    def __call__(self, parameters: Mapping[str, Tensor]) -> Mesh:
        """The empty mesh in as many poses as the parameters have rows; one without any."""
        if parameters:
            name = sorted(parameters)[0]
            raise ShapeError(
                f'Rig "none" has no parameter "{name}".',
                "Expected no parameters.",
                "Choose with --rig the one they belong to.",
            )
        return Mesh(self._rest.vertices[None], self._rest)


def _empty(device: Any) -> RestMesh:
    none = torch.zeros(0, 3, dtype=torch.int64)
    return RestMesh(torch.zeros(0, 3), Topology(none, none.clone(), {})).to(device)

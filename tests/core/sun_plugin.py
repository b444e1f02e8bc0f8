"""A stranger's plugin file for the tests: matte surfels under one sun, whose direction is learnt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from surfhead.core.api import (
    BASE_COLOUR,
    Appearance,
    Binding,
    Colour,
    Encoding,
    ParameterSpec,
    Schedule,
    Surface,
    SurfaceWants,
    hookimpl,
)


class Sunlit(Appearance):
    """paint * (1/2 + max(n·sun + sky, 0))."""

    name = "sunlit"
    summary = "Matte paint under one sun."
    capturable = True
    wants = SurfaceWants(world_normals="gradient")

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self._sun = nn.Linear(3, 1)
        nn.init.ones_(self._sun.bias)  # not dark at the start

    def parameters(self) -> Mapping[str, ParameterSpec]:
        logits = Encoding(lambda rgb: torch.logit(rgb, eps=1e-3), torch.sigmoid)
        return {"paint": ParameterSpec((3,), 0.0, Schedule(0.01), role=BASE_COLOUR, encoding=logits)}

    def network(self) -> nn.Module:
        return self._sun

    def __call__(self, binding: Binding, directions: Tensor, normals: Tensor, rotation: Tensor,
                 parts: bool = False, surface: Surface | None = None) -> Colour:  # fmt: skip
        assert surface is not None
        light = 0.5 + self._sun(surface.world_normals).clamp_min(0.0)
        return Colour(binding.parameters["paint"].sigmoid() * light)


@hookimpl
def register_appearances(register: Any) -> None:
    register(Sunlit)

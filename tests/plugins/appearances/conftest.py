"""Surfels with random features, seen from random directions."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from surfhead.core.api import Appearance, Binding, Colour
from surfhead.maths import geometry

EYES = (2, 5, 6)


@dataclass
class View:
    """B views of N surfels: what an appearance model is given."""

    directions: Tensor
    normals: Tensor
    rotation: Tensor

    def colour(self, model: Appearance, binding: Binding, parts: bool = False) -> Colour:
        """The model's colours in these views."""
        return model(binding, self.directions, self.normals, self.rotation, parts)


def make_view(views: int = 3, count: int = 9, dtype: torch.dtype = torch.float64) -> View:
    """Random unit directions, normals turned towards the camera, random rotations."""
    generator = torch.Generator().manual_seed(4)
    directions, normals = torch.nn.functional.normalize(
        torch.randn(2, views, count, 3, generator=generator, dtype=torch.float64), dim=-1
    )
    away = (directions * normals).sum(-1, keepdim=True) > 0
    normals = torch.where(away, -normals, normals)
    turn = torch.randn(views, count, 4, generator=generator, dtype=torch.float64)
    rotation = geometry.quaternion_to_matrix(turn)
    return View(directions.to(dtype), normals.to(dtype), rotation.to(dtype))


def make_binding(model: Appearance, count: int = 9, dtype: torch.dtype = torch.float64) -> Binding:
    """Random features around grey, and three surfels on the eyes."""
    generator = torch.Generator().manual_seed(6)
    features = {
        name: 0.3 * torch.randn(count, *spec.shape, generator=generator, dtype=torch.float64).to(dtype)
        for name, spec in model.parameters().items()
    }
    eyes = torch.tensor([index for index in EYES if index < count], dtype=torch.int64)
    return Binding(torch.arange(count), features, {"eyeballs": eyes})


def lit(model: Appearance, dtype: torch.dtype = torch.float64) -> Appearance:
    """The model late in training: all terms on, and no layer of the network at zero."""
    model.advance(10**6)
    network = model.network()
    if network is not None:
        generator = torch.Generator().manual_seed(8)
        network.to(dtype)
        with torch.no_grad():
            for parameter in network.parameters():
                noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.add_(0.1 * noise)
    return model


@pytest.fixture
def view() -> View:
    """Three views of nine surfels in float64."""
    return make_view()

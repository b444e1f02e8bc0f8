"""A small open mesh with known neighbours, in poses with stretch, shear and bending."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from surfhead.core.api import Binding, Mesh, RestMesh, Topology

ROWS, COLUMNS = 4, 5
RIG_BOUND = ("similarity", "jacobian", "lbs", "jbs", "jbs-paper")


def edge_neighbours(triangles: Tensor) -> Tensor:
    """(F, 3) the triangle across each edge, the triangle itself where there is none."""
    neighbours = torch.arange(len(triangles))[:, None].repeat(1, 3)
    owner: dict[frozenset[int], tuple[int, int]] = {}
    for face, corners in enumerate(triangles.tolist()):
        for side in range(3):
            edge = frozenset((corners[side], corners[(side + 1) % 3]))
            if edge in owner:
                other, other_side = owner[edge]
                neighbours[face, side], neighbours[other, other_side] = other, face
            owner[edge] = (face, side)
    return neighbours


@dataclass
class Patch:
    """A bent sheet of 24 triangles, centimetres in size, and surfels on it."""

    rest: RestMesh
    binding: Binding

    def vertices(self, poses: int = 2, amount: float = 0.003) -> Tensor:
        """(poses, V, 3) rest vertices with noise of ``amount`` metres."""
        generator = torch.Generator().manual_seed(5)
        base = self.rest.vertices
        noise = torch.randn(poses, *base.shape, generator=generator, dtype=torch.float64)
        return base + amount * noise.to(base.dtype)

    def mesh(self, vertices: Tensor) -> Mesh:
        """The mesh in these poses."""
        return Mesh(vertices, self.rest)


def make_patch(
    dtype: torch.dtype = torch.float64, regions: bool = True, twist: float = 1.0, size: float = 0.02
) -> Patch:
    """Build the patch; ``regions`` marks two surfels as eyeballs and one as boundary."""
    generator = torch.Generator().manual_seed(2)
    row, column = torch.meshgrid(torch.arange(ROWS), torch.arange(COLUMNS), indexing="ij")
    bend = 0.5 * twist * column / COLUMNS
    vertices = torch.stack((column * torch.cos(bend), row + 0.2 * column, column * torch.sin(bend)), -1)
    vertices = size * (
        vertices.double() + 0.1 * torch.randn(ROWS, COLUMNS, 3, generator=generator, dtype=torch.float64)
    )
    index = row * COLUMNS + column
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    triangles = torch.stack((torch.stack((a, b, c), -1), torch.stack((a, c, d), -1)), 2).reshape(-1, 3)
    names = ("eyeballs", "boundary")
    masks = {name: torch.zeros(len(triangles), dtype=torch.bool) for name in names}
    if regions:
        masks["eyeballs"][[3, 4]] = True
        masks["boundary"][0] = True
    topology = Topology(triangles, edge_neighbours(triangles), masks)
    rest = RestMesh(vertices.reshape(-1, 3).to(dtype), topology)
    # every triangle has a surfel and a few have two
    triangle = torch.cat((torch.arange(len(triangles)), torch.tensor([3, 7, 7, 11])))
    logits = 0.5 * torch.randn(len(triangle), 4, generator=generator, dtype=torch.float64)
    logits += torch.tensor([math.log(9.0), -1.0, -1.0, -1.0], dtype=torch.float64)
    parameters = {
        "blend": logits.to(dtype),
        "offset": 0.1 * torch.randn(len(triangle), 3, generator=generator, dtype=torch.float64).to(dtype),
    }
    hosts = {name: mask[triangle].nonzero().squeeze(1) for name, mask in masks.items()}
    return Patch(rest, Binding(triangle, parameters, hosts))


@pytest.fixture
def patch() -> Patch:
    """The patch in float64."""
    return make_patch()

"""The fine mesh the rays hit: the rig's triangles rounded, subdivided and displaced by relief.

Every triangle is split into n * n; the new vertices are rounded by Phong tessellation (Boubekeur and Alexa,
2008), which needs nothing but the posed vertices and their normals, and then moved along the smooth normal by
a height that belongs to the skin: pores, wrinkles, lip lines, strands of hair.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from surfhead.core.api import RestMesh
from surfhead.plugins.datasets.synthetic.face import SOLID, Array, FaceFrame, bump, ramp, vertex_masks
from surfhead.plugins.datasets.synthetic.noise import fractal_noise, spots, value_noise
from surfhead.plugins.datasets.synthetic.texture import brow_strength, hair_direction, lattice


def vertex_normals(vertices: Tensor, triangles: Tensor) -> Tensor:
    """(V, 3) unit normals, the triangles' weighted by their area."""
    corner = vertices[triangles]
    normal = torch.linalg.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    total = torch.zeros_like(vertices)
    for k in range(3):
        total.index_add_(0, triangles[:, k], normal)
    return torch.nn.functional.normalize(total, dim=1, eps=1e-20)


def relief_height(points: Array, masks: dict[str, Array], seed: int) -> Array:
    """(...) height of the relief in face millimetres, at rest points in face millimetres."""
    zero = np.zeros(points.shape[:-1])

    def mask(name: str) -> Array:
        return masks.get(name, zero)

    p = points
    x, y = np.abs(p[..., 0]), p[..., 1]
    soft = 1.0 - np.maximum.reduce([mask(name) for name in SOLID])
    height = 0.05 * fractal_noise(p / 2.2, seed + 60) - 0.09 * spots(p / 2.6, seed + 61, 0.4)
    # What tracking never gets right: soft unevenness a few triangles wide. The lids must clear the eyes.
    uneven = 1.0 - np.maximum(0.85 * mask("eye_region"), 0.5 * mask("lips"))
    height = height + 0.8 * uneven * fractal_noise(p / 10.0, seed + 68, 2)
    # Furrows of the forehead, crow's feet, the lid's fold: grooves along bent lines.
    level = y + 0.0022 * p[..., 0] ** 2 + 1.6 * fractal_noise(p / 18.0, seed + 62)
    brow = np.exp(-(((y - 43.0) / 12.0) ** 2)) * ramp(52, 34, x) * (p[..., 2] > 0)
    height = height - 0.30 * brow * np.clip(np.cos(2 * np.pi * level / 7.5), 0, 1) ** 4
    feet = bump(p, 57, -2, 6, 9)
    height = height - 0.28 * feet * np.clip(np.cos(2 * np.pi * (y + 0.25 * (x - 50)) / 5.2), 0, 1) ** 4
    frown = bump(p, 0, 18, 8, 7) * np.exp(-(((x - 4.0) / 1.1) ** 2))
    height = height - 0.35 * frown
    lid = y - (8.6 - 0.016 * (x - 31.0) ** 2)
    height = height - 0.4 * np.exp(-((lid / 0.9) ** 2)) * ramp(17, 22, x) * ramp(50, 44, x) * (p[..., 2] > 60)
    fold = 22.0 + 0.62 * (-44.0 - y) + 0.8 * fractal_noise(p / 9.0, seed + 63)
    crease = np.exp(-(((x - fold) / 1.8) ** 2)) * ramp(-70, -60, y) * ramp(-42, -50, y)
    height = height - 0.55 * crease * (p[..., 2] > 40)
    lines = value_noise(np.stack([p[..., 0] / 0.9, y / 7.0, 0 * x], axis=-1), seed + 64)
    height = height + 0.16 * ramp(0.3, 0.7, mask("lips")) * lines
    combed = hair_direction(p)
    strands = 0.5 * value_noise(combed / [1.5, 16.0, 1.0], seed + 65) + 0.5 * value_noise(
        combed / [3.5, 24.0, 1.0], seed + 66
    )
    tuft = fractal_noise(p / [13.0, 13.0, 15.0], seed + 67, 2)
    hair = ramp(0.2, 0.9, mask("scalp"))
    height = height + hair * (2.6 + 0.4 * strands + 2.2 * tuft)
    height = height + 0.8 * brow_strength(p, seed + 30)
    return np.asarray(height * soft)


@dataclass
class FineMesh:
    """A subdivided mesh in one pose.

    Attributes:
        vertices: (W, 3) metres.
        normals: (W, 3) unit, smooth.
        triangles: (G, 3) fine triangles, those of base triangle f from f * n * n on.
    """

    vertices: Tensor
    normals: Tensor
    triangles: Tensor


class Relief:
    """Makes the fine mesh of any pose.

    Args:
        rest: the canonical mesh of the person.
        template: the rest shape whose face coordinates texture and relief are written in.
        frame: face coordinates of ``template``.
        size: n, parts of each edge.
        seed: of the relief.
    """

    def __init__(self, rest: RestMesh, template: RestMesh, frame: FaceFrame, size: int, seed: int) -> None:
        self.base = rest.topology.triangles
        self.size = size
        grid = np.round(lattice(size) * size).astype(np.int64)
        self.corners = torch.from_numpy(lattice(size)).float()
        self.split = torch.from_numpy(_split(grid, size))
        # One vertex for each lattice point: those that two triangles share along an edge are merged.
        keys = _shared_keys(self.base.numpy(), grid, size)
        _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        self._first = torch.from_numpy(first)
        self.index = torch.from_numpy(inverse.reshape(len(self.base), len(grid)))
        self.triangles = self.index[:, self.split].reshape(-1, 3)
        face, point = np.divmod(first, len(grid))
        self._host = self.base[torch.from_numpy(face)]
        self._weight = self.corners[torch.from_numpy(point)]
        at = template.vertices.double()[self._host].mul(self._weight.double()[..., None]).sum(dim=1)
        masks = {
            name: (torch.from_numpy(values)[self._host] * self._weight.double()).sum(dim=1).numpy()
            for name, values in vertex_masks(template, frame).items()
        }
        height = relief_height(frame.coordinates(at.numpy()), masks, seed)
        self._height = torch.from_numpy(height * frame.scale).float()[:, None]

    def __call__(self, vertices: Tensor) -> FineMesh:
        """The fine mesh of posed vertices (V, 3), metres."""
        normals = vertex_normals(vertices, self.base)
        corner, normal = vertices[self._host], normals[self._host]
        flat = (corner * self._weight[..., None]).sum(dim=1)
        # Project onto the tangent planes of the three corners and blend: three quarters of the way.
        height = ((corner - flat[:, None]) * normal).sum(dim=-1, keepdim=True)
        rounded = flat + 0.75 * (self._weight[..., None] * height * normal).sum(dim=1)
        outward = torch.nn.functional.normalize((normal * self._weight[..., None]).sum(dim=1), dim=1)
        fine = rounded + self._height * outward
        return FineMesh(fine, vertex_normals(fine, self.triangles), self.triangles)


def _split(grid: np.ndarray, size: int) -> np.ndarray:
    """(n * n, 3) the small triangles of a lattice, wound as their host."""
    number = {(int(i), int(j)): k for k, (_, i, j) in enumerate(grid)}
    small = []
    for i in range(size):
        for j in range(size - i):
            small.append((number[i, j], number[i + 1, j], number[i, j + 1]))
            if i + j < size - 1:
                small.append((number[i + 1, j], number[i + 1, j + 1], number[i, j + 1]))
    return np.asarray(small, dtype=np.int64)


def _shared_keys(triangles: np.ndarray, grid: np.ndarray, size: int) -> np.ndarray:
    """(F * L, 4) a key for each lattice point, equal for points that coincide on a shared corner or edge."""
    weights = np.broadcast_to(grid[None], (len(triangles), *grid.shape))
    vertex = np.broadcast_to(triangles[:, None, :], weights.shape)
    order = np.argsort(np.where(weights > 0, vertex, np.iinfo(np.int64).max), axis=-1)
    vertex = np.take_along_axis(vertex, order, axis=-1)
    weight = np.take_along_axis(weights, order, axis=-1)
    vertex = np.where(weight > 0, vertex, -1)
    count = int(triangles.max()) + 2
    inside = (weight > 0).all(axis=-1)
    face = np.where(inside, np.arange(len(triangles))[:, None], -1)
    low, high = vertex[..., 0], vertex[..., 1]
    pair = (low * count + high + 1).reshape(-1)
    share = (weight[..., 0] * (size + 1) + weight[..., 1]).reshape(-1)
    return np.stack([face.reshape(-1), np.where(inside.reshape(-1), 0, pair), share], axis=-1)

"""Rays cast at a triangle mesh, by Embree: the pictures of a bare mesh, and what hides what.

Nothing of the surfel renderer is used here, so what is measured against these pictures is independent of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surfhead.core.errors import UnavailableError
from surfhead.core.types import Cameras, check_finite, check_shape


@dataclass(frozen=True)
class MeshHits:
    """What the ray through each pixel's centre meets first.

    Attributes:
        triangle: (B, H, W) int64 index of the triangle, -1 where the ray meets none.
        barycentric: (B, H, W, 3) float32 weights of the triangle's corners; 0 where none.
        depth: (B, H, W) float32 camera z, metres; 0 where none.
        normal: (B, H, W, 3) float32 unit normals of the flat triangles in camera space (OpenCV axes), as
            the winding gives them; 0 where none or where the triangle has no area.
    """

    triangle: Tensor
    barycentric: Tensor
    depth: Tensor
    normal: Tensor

    @property
    def mask(self) -> Tensor:
        """(B, H, W) bool: the ray meets the mesh."""
        return self.triangle >= 0

    def interpolate(self, triangles: Tensor, values: Tensor) -> Tensor:
        """Vertex values at the hits.

        Args:
            triangles: (F, 3) int64, those of the mesh.
            values: (V, C).

        Returns:
            (B, H, W, C), 0 where nothing was met.
        """
        corners = values[triangles[self.triangle.clamp(min=0)]]
        return (corners * self.barycentric.unsqueeze(-1)).sum(dim=-2)


class MeshCaster:
    """A mesh prepared for casting rays at it.

    Args:
        vertices: (V, 3) metres, world space.
        triangles: (F, 3) int64 vertex indices.

    Raises:
        UnavailableError: when the package embreex cannot be imported.
        ShapeError: when the shapes are wrong or a vertex is not finite.
    """

    def __init__(self, vertices: Tensor, triangles: Tensor) -> None:
        try:
            from embreex.mesh_construction import TriangleMesh
            from embreex.rtcore_scene import EmbreeScene
        except ImportError as error:
            raise UnavailableError(
                f'Rays cannot be cast: the package "embreex" does not load ({error}).',
                "Expected an installed embreex.",
                "Run `pip install embreex`.",
            ) from error
        check_shape("vertices", vertices, None, 3)
        check_shape("triangles", triangles, None, 3)
        check_finite("vertices", vertices)
        self._vertices = vertices.detach().double().cpu().numpy()
        self._triangles = triangles.cpu().numpy()
        edges = self._vertices[self._triangles[:, 1:]] - self._vertices[self._triangles[:, :1]]
        normal = np.cross(edges[:, 0], edges[:, 1])
        length = np.linalg.norm(normal, axis=1, keepdims=True)
        self._normal = np.divide(normal, length, out=np.zeros_like(normal), where=length > 0)
        self._scene: Any = EmbreeScene()
        if len(self._triangles):
            TriangleMesh(
                scene=self._scene,
                vertices=np.ascontiguousarray(self._vertices, dtype=np.float32),
                indices=np.ascontiguousarray(self._triangles, dtype=np.int32),
            )

    def cast(self, cameras: Cameras) -> MeshHits:
        """The first hit of every pixel's centre.

        Pictures with more samples a pixel come from cameras of a larger size (intrinsics scaled alike).
        """
        shape = (cameras.height, cameras.width)
        triangle = np.full((len(cameras), *shape), -1, dtype=np.int64)
        weights = np.zeros((len(cameras), *shape, 3), dtype=np.float32)
        depth = np.zeros((len(cameras), *shape), dtype=np.float32)
        normal = np.zeros((len(cameras), *shape, 3), dtype=np.float32)
        for view in range(len(cameras)):
            rotation = cameras.camera_from_world[view, :3, :3].double().cpu().numpy()
            translation = cameras.camera_from_world[view, :3, 3].double().cpu().numpy()
            centre = -rotation.T @ translation
            pixels = _pixel_directions(cameras.intrinsics[view].double().cpu().numpy(), *shape)
            window = self._window(cameras, view)
            directions = pixels[window] @ rotation
            index, bary = self._first(centre, directions.reshape(-1, 3))
            hit = index >= 0
            points = np.einsum("mk,mkc->mc", bary[hit], self._vertices[self._triangles[index[hit]]])
            size = directions.shape[:2]
            triangle[view][window] = index.reshape(size)
            weights[view][window] = bary.reshape(*size, 3)
            values = np.zeros(len(index), dtype=np.float32)
            values[hit] = points @ rotation[2] + translation[2]
            depth[view][window] = values.reshape(size)
            vectors = np.zeros((len(index), 3), dtype=np.float32)
            vectors[hit] = self._normal[index[hit]] @ rotation.T
            normal[view][window] = vectors.reshape(*size, 3)
        return MeshHits(*(torch.from_numpy(array) for array in (triangle, weights, depth, normal)))

    def occluded(self, origins: Tensor, directions: Tensor) -> Tensor:
        """Whether each ray from a point meets the mesh.

        Args:
            origins: (M, 3) metres; start a little off the surface.
            directions: (M, 3), any length.

        Returns:
            (M,) bool.
        """
        if not len(self._triangles) or not len(origins):
            return torch.zeros(len(origins), dtype=torch.bool)
        start = np.ascontiguousarray(origins.detach().float().cpu().numpy())
        along = np.ascontiguousarray(directions.detach().float().cpu().numpy())
        return torch.from_numpy(np.asarray(self._scene.run(start, along)) >= 0)

    def _first(self, centre: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The triangle (M,) and barycentric weights (M, 3) float64 that rays from one point meet first."""
        weights = np.zeros((len(directions), 3))
        if not len(self._triangles) or not len(directions):
            return np.full(len(directions), -1, dtype=np.int64), weights
        origins = np.broadcast_to(centre.astype(np.float32), directions.shape).copy()
        index = np.asarray(self._scene.run(origins, directions.astype(np.float32))).astype(np.int64)
        hit = index >= 0
        # Solved anew in double precision (Moeller and Trumbore): Embree's own weights are single precision.
        corner = self._vertices[self._triangles[index[hit]]]
        edge1, edge2 = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
        along = directions[hit]
        p = np.cross(along, edge2)
        determinant = np.einsum("mc,mc->m", edge1, p)
        determinant[determinant == 0] = np.inf
        offset = centre - corner[:, 0]
        u = np.einsum("mc,mc->m", offset, p) / determinant
        v = np.einsum("mc,mc->m", along, np.cross(offset, edge1)) / determinant
        inside = np.clip(np.stack([1 - u - v, u, v], axis=1), 0, None)
        weights[hit] = inside / inside.sum(axis=1, keepdims=True)
        return index, weights

    def _window(self, cameras: Cameras, view: int) -> tuple[slice, slice]:
        """The rows and columns of pixels that the mesh's projection can touch."""
        full = (slice(0, cameras.height), slice(0, cameras.width))
        pose = cameras.camera_from_world[view].double().cpu().numpy()
        points = self._vertices @ pose[:3, :3].T + pose[:3, 3]
        if not len(points) or points[:, 2].min() <= 1e-6:
            return full
        pixels = points @ cameras.intrinsics[view].double().cpu().numpy().T
        pixels = pixels[:, :2] / pixels[:, 2:]
        low = np.clip(np.floor(pixels.min(axis=0)) - 1, 0, [cameras.width, cameras.height]).astype(int)
        high = np.clip(np.ceil(pixels.max(axis=0)) + 1, 0, [cameras.width, cameras.height]).astype(int)
        return slice(low[1], max(high[1], low[1])), slice(low[0], max(high[0], low[0]))


def _pixel_directions(intrinsics: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W, 3) camera-space directions through the pixels' centres, z = 1."""
    column, row = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return np.stack([column, row, np.ones_like(row)], axis=-1) @ np.linalg.inv(intrinsics).T


__all__ = ["MeshCaster", "MeshHits"]

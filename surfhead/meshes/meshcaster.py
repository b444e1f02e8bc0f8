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
        first = self._vertices[self._triangles[:, 0]]
        edges = self._vertices[self._triangles[:, 1:]] - first[:, None]
        normal = np.cross(edges[:, 0], edges[:, 1])
        length = np.linalg.norm(normal, axis=1, keepdims=True)
        self._normal = np.divide(normal, length, out=np.zeros_like(normal), where=length > 0)
        # Weights of the second and third corner at p are inner products of p - first with these vectors.
        dual = np.stack([np.cross(edges[:, 1], self._normal), np.cross(self._normal, edges[:, 0])], axis=1)
        self._plane = np.concatenate(
            [
                first[:, None],
                self._normal[:, None],
                np.divide(dual, length[..., None], where=length[..., None] > 0, out=np.zeros_like(dual)),
            ],
            axis=1,
        )
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
            index, bary, along = self._first(centre, directions.reshape(-1, 3))
            hit = index >= 0
            size = directions.shape[:2]
            triangle[view][window] = index.reshape(size)
            weights[view][window] = bary.reshape(*size, 3)
            depth[view][window] = along.reshape(size)
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

    def _first(self, centre: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """First hits of rays from a point: triangle (M,), weights (M, 3), multiple of the direction (M,)."""
        weights, distance = np.zeros((len(directions), 3)), np.zeros(len(directions))
        if not len(self._triangles) or not len(directions):
            return np.full(len(directions), -1, dtype=np.int64), weights, distance
        origins = np.broadcast_to(centre.astype(np.float32), directions.shape).copy()
        index = np.asarray(self._scene.run(origins, directions.astype(np.float32))).astype(np.int64)
        hit = index >= 0
        # Solved anew in double precision on the triangle's plane: Embree works in single precision.
        plane = self._plane[index[hit]]
        offset, normal, along = centre - plane[:, 0], plane[:, 1], directions[hit]
        slope = np.einsum("mc,mc->m", normal, along)
        height = np.einsum("mc,mc->m", normal, offset)
        multiple = np.divide(-height, slope, out=np.zeros_like(height), where=slope != 0)
        local = offset + multiple[:, None] * along
        u = np.einsum("mc,mc->m", plane[:, 2], local)
        v = np.einsum("mc,mc->m", plane[:, 3], local)
        inside = np.clip(np.stack([1 - u - v, u, v], axis=1), 0, None)
        weights[hit] = inside / inside.sum(axis=1, keepdims=True)
        distance[hit] = multiple
        return index, weights, distance

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

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


@dataclass(frozen=True)
class _Rays:
    """Rays from one camera: its centre (3,), directions (M, 3), rotation (3, 3); their rows and columns."""

    centre: np.ndarray
    directions: np.ndarray
    rotation: np.ndarray
    size: tuple[int, ...]


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
        self._corner = first
        self._dual = np.divide(dual, length[..., None], where=length[..., None] > 0, out=np.zeros_like(dual))
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
            window, rays = self._rays(cameras, view)
            index, along = self._first(rays)
            hit = index >= 0
            size = rays.size
            triangle[view][window] = index.reshape(size)
            depth[view][window] = along.reshape(size)
            bary = np.zeros((len(index), 3), dtype=np.float32)
            bary[hit] = self._weights(rays, index[hit], along[hit], hit)
            weights[view][window] = bary.reshape(*size, 3)
            vectors = np.zeros((len(index), 3), dtype=np.float32)
            vectors[hit] = self._normal[index[hit]] @ rays.rotation.T
            normal[view][window] = vectors.reshape(*size, 3)
        return MeshHits(*(torch.from_numpy(array) for array in (triangle, weights, depth, normal)))

    def nearest(self, cameras: Cameras) -> tuple[Tensor, Tensor]:
        """``triangle`` and ``depth`` of ``cast``, in half its time."""
        shape = (len(cameras), cameras.height, cameras.width)
        triangle, depth = np.full(shape, -1, dtype=np.int64), np.zeros(shape, dtype=np.float32)
        for view in range(len(cameras)):
            window, rays = self._rays(cameras, view)
            index, along = self._first(rays)
            triangle[view][window] = index.reshape(rays.size)
            depth[view][window] = along.reshape(rays.size)
        return torch.from_numpy(triangle), torch.from_numpy(depth)

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

    def _rays(self, cameras: Cameras, view: int) -> tuple[tuple[slice, slice], _Rays]:
        """The rays through those pixels' centres that may meet the mesh, and which pixels they are."""
        rotation = cameras.camera_from_world[view, :3, :3].double().cpu().numpy()
        translation = cameras.camera_from_world[view, :3, 3].double().cpu().numpy()
        window = self._window(cameras, view)
        pixels = _pixel_directions(cameras.intrinsics[view].double().cpu().numpy(), *window)
        directions = (pixels @ rotation).reshape(-1, 3)
        return window, _Rays(-rotation.T @ translation, directions, rotation, pixels.shape[:2])

    def _first(self, rays: _Rays) -> tuple[np.ndarray, np.ndarray]:
        """First hits: triangle (M,), -1 where none, and multiple of the direction (M,)."""
        directions = rays.directions
        distance = np.zeros(len(directions))
        if not len(self._triangles) or not len(directions):
            return np.full(len(directions), -1, dtype=np.int64), distance
        origins = np.broadcast_to(rays.centre.astype(np.float32), directions.shape).copy()
        index = np.asarray(self._scene.run(origins, directions.astype(np.float32))).astype(np.int64)
        hit = index >= 0
        # Solved anew in double precision on the triangle's plane: Embree works in single precision.
        met = index[hit]
        slope = np.einsum("mc,mc->m", self._normal[met], directions[hit])
        height = np.einsum("fc,fc->f", self._normal, rays.centre - self._corner)[met]
        distance[hit] = np.divide(-height, slope, out=np.zeros_like(height), where=slope != 0)
        return index, distance

    def _weights(self, rays: _Rays, met: np.ndarray, along: np.ndarray, hit: np.ndarray) -> np.ndarray:
        """(M, 3) weights of the corners of the triangles met (M,), where ``hit`` of the rays meet them."""
        local = rays.centre - self._corner[met] + along[:, None] * rays.directions[hit]
        u, v = (np.einsum("mc,mc->m", self._dual[met, corner], local) for corner in (0, 1))
        inside = np.clip(np.stack([1 - u - v, u, v], axis=1), 0, None)
        return np.asarray(inside / inside.sum(axis=1, keepdims=True))

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


def _pixel_directions(intrinsics: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
    """(H, W, 3) camera-space directions through the centres of these pixels, z = 1."""
    column, row = np.meshgrid(
        np.arange(columns.start, columns.stop) + 0.5, np.arange(rows.start, rows.stop) + 0.5
    )
    return np.stack([column, row, np.ones_like(row)], axis=-1) @ np.linalg.inv(intrinsics).T


__all__ = ["MeshCaster", "MeshHits"]

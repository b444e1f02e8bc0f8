"""How far apart two surfaces of triangles are.

Points are drawn uniformly by area on both surfaces, and the distance from each to the other surface itself,
not to points on it, is taken. With cameras, only points that one of them sees are measured: inside its
picture, facing it, and not hidden by the point's own surface. So the inside of the mouth, the sockets
behind the eyeballs and the neck's inside count only where a picture shows them. The distance is always to
the whole other surface, so that it does not matter where sight ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from surfhead.core.errors import ShapeError
from surfhead.core.types import Cameras, check_finite, check_shape
from surfhead.meshes.meshcaster import MeshCaster

THRESHOLDS_MM = (1.0, 2.5, 5.0)
SAMPLES = 100_000  # points on each surface; twice as many change a head's chamfer by less than 0.001 mm
NEAREST = 8  # candidates for each point, of the samples of the other surface
DENSITY = 4  # samples of the other surface, from which candidates come, for each triangle
OFF_SURFACE = 2e-4  # metres from which sight is tried, to clear the point's own triangle

CONVENTIONS = {
    "accuracy_mm": "mean distance from points of the mesh to the true surface, mm",
    "completeness_mm": "mean distance from points of the true surface to the mesh, mm",
    "chamfer_mm": "mean of accuracy and completeness, mm",
    **{
        f"f_score_{threshold:g}mm": f"harmonic mean of both kinds of points' shares within {threshold:g} mm"
        for threshold in THRESHOLDS_MM
    },
}
"""What each figure of ``compare_surfaces`` is."""


@dataclass(frozen=True)
class Surface:
    """Triangles of a surface.

    Attributes:
        vertices: (V, 3) metres.
        triangles: (F, 3) int64, wound so that normals point outward.

    Raises:
        ShapeError: wrong shapes, no triangle, a vertex that is not finite, or no area.
    """

    vertices: Tensor
    triangles: Tensor

    def __post_init__(self) -> None:
        check_shape("vertices", self.vertices, None, 3)
        check_shape("triangles", self.triangles, None, 3)
        check_finite("vertices", self.vertices)
        if not len(self.triangles):
            raise ShapeError('"triangles" is empty.', "Expected a surface.", "Check how it was built.")
        if int(self.triangles.min()) < 0 or int(self.triangles.max()) >= len(self.vertices):
            raise ShapeError(
                '"triangles" names a vertex that does not exist.',
                f"There are {len(self.vertices)} vertices.",
                "Check how it was built.",
            )

    def corners(self) -> np.ndarray:
        """(F, 3, 3) float64."""
        points: np.ndarray = self.vertices.detach().double().cpu().numpy()[self.triangles.cpu().numpy()]
        return points


@dataclass(frozen=True)
class Samples:
    """Points on a surface.

    Attributes:
        points: (M, 3) float64, metres.
        triangle: (M,) int64.
        normals: (M, 3) float64 unit normals of their triangles.
    """

    points: np.ndarray
    triangle: np.ndarray
    normals: np.ndarray


def sample_surface(surface: Surface, count: int, seed: int = 0) -> Samples:
    """``count`` points drawn uniformly by area; the same for the same seed."""
    corners = surface.corners()
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(cross, axis=1)
    if not area.sum() > 0:
        raise ShapeError("The surface has no area.", "Expected triangles.", "Check how it was built.")
    generator = np.random.default_rng(seed)
    triangle = generator.choice(len(area), size=count, p=area / area.sum())
    u, v = generator.random((2, count, 1))
    over = u + v > 1
    u, v = np.where(over, 1 - u, u), np.where(over, 1 - v, v)
    a, b, c = corners[triangle].swapaxes(0, 1)
    return Samples(a + u * (b - a) + v * (c - a), triangle, cross[triangle] / area[triangle, None])


def distances(points: np.ndarray, surface: Surface, seed: int = 0) -> np.ndarray:
    """(M,) distance from each point to a surface, metres.

    Exact to the triangles of the nearest of many points on the surface: its corners, its triangles'
    middles, and points drawn by area.
    """
    from scipy.spatial import cKDTree

    corners = surface.corners()
    drawn = sample_surface(surface, max(SAMPLES, DENSITY * len(corners)), seed)
    middles = corners.mean(axis=1)
    anchors = np.concatenate([drawn.points, middles, corners.reshape(-1, 3)])
    owner = np.concatenate([drawn.triangle, np.arange(len(corners)), np.arange(3 * len(corners)) // 3])
    nearest = cKDTree(anchors).query(points, k=NEAREST, workers=-1)[1]
    best = np.full(len(points), np.inf)
    for column in range(NEAREST):
        best = np.minimum(best, triangle_distances(points, corners[owner[nearest[:, column]]]))
    return best


def triangle_distances(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(M,) distance of points (M, 3) to one triangle each (M, 3, 3): to its plane or its nearest edge."""
    edges = np.roll(corners, -1, axis=1) - corners
    away = points[:, None] - corners
    length = np.maximum((edges**2).sum(axis=-1), 1e-30)
    along = np.clip((away * edges).sum(axis=-1) / length, 0.0, 1.0)
    to_edge = np.sqrt(((away - along[..., None] * edges) ** 2).sum(axis=-1).min(axis=1))
    normal = np.cross(edges[:, 0], edges[:, 1])
    size = np.linalg.norm(normal, axis=1)
    sides = (np.cross(edges, away) * normal[:, None]).sum(axis=-1)
    over = (sides >= 0).all(axis=1) & (size > 0)
    height = np.abs((away[:, 0] * normal).sum(axis=-1)) / np.maximum(size, 1e-30)
    nearest: np.ndarray = np.where(over, height, to_edge)
    return nearest


def seen(samples: Samples, surface: Surface, cameras: Cameras) -> np.ndarray:
    """(M,) bool: whether any camera sees a point of a surface: in its picture, facing it, and not hidden."""
    caster = MeshCaster(surface.vertices, surface.triangles)
    found = np.zeros(len(samples.points), dtype=bool)
    for view in range(len(cameras)):
        pose = cameras.camera_from_world[view].double().cpu().numpy()
        centre = cameras.centre[view].double().cpu().numpy()
        local = samples.points @ pose[:3, :3].T + pose[:3, 3]
        pixel = local @ cameras.intrinsics[view].double().cpu().numpy().T
        pixel = pixel[:, :2] / np.maximum(pixel[:, 2:], 1e-9)
        towards = centre - samples.points
        towards /= np.linalg.norm(towards, axis=1, keepdims=True)
        size = (cameras.width, cameras.height)
        tried = ~found & (local[:, 2] > cameras.near) & ((pixel >= 0) & (pixel < size)).all(axis=1)
        tried &= (towards * samples.normals).sum(axis=1) > 0
        rows = np.flatnonzero(tried)
        start = samples.points[rows] + OFF_SURFACE * towards[rows]
        hidden = caster.occluded(torch.from_numpy(start), torch.from_numpy(towards[rows]))
        found[rows] = ~hidden.numpy()
    return found


def compare_surfaces(
    mesh: Surface, truth: Surface, *, cameras: Cameras | None = None, samples: int = SAMPLES, seed: int = 0
) -> dict[str, float]:
    """The figures of ``CONVENTIONS``; see the module's text.

    Args:
        mesh: what is measured.
        truth: the true surface.
        cameras: only points that one of them sees are measured; None: all.
        samples: points drawn on each.
        seed: of the points.

    Raises:
        ShapeError: no point of one of them is seen.
    """
    to_truth = _distances(mesh, truth, cameras, samples, seed, "mesh")
    to_mesh = _distances(truth, mesh, cameras, samples, seed + 1, "true surface")
    accuracy, completeness = 1000.0 * float(to_truth.mean()), 1000.0 * float(to_mesh.mean())
    figures = {
        "accuracy_mm": accuracy,
        "completeness_mm": completeness,
        "chamfer_mm": (accuracy + completeness) / 2,
    }
    for threshold in THRESHOLDS_MM:
        precision, recall = (float((d <= threshold / 1000.0).mean()) for d in (to_truth, to_mesh))
        score = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        figures[f"f_score_{threshold:g}mm"] = score
    return figures


def _distances(
    source: Surface, target: Surface, cameras: Cameras | None, count: int, seed: int, name: str
) -> np.ndarray:
    drawn = sample_surface(source, count, seed)
    points = drawn.points if cameras is None else drawn.points[seen(drawn, source, cameras)]
    if not len(points):
        raise ShapeError(
            f"No camera sees a point of the {name}.", "Expected some.", "Check its winding and the cameras."
        )
    return distances(points, target, seed)

"""Where things lie on any rig's head: face coordinates in millimetres and smooth region masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surfhead.core.api import RestMesh

Array = NDArray[np.float64]

HALF_PUPIL_DISTANCE = 32.0
"""Half of an average adult's interpupillary distance, mm: it sets the unit of face coordinates."""
SOLID = ("teeth", "eyeballs", "mouth", "tongue")
"""Regions with hard edges: a blend of tooth and gum at shared vertices is not wanted."""
EYE_DEPTH = 69.5
"""Distance of the eyeballs' centres in front of the origin, mm."""


@dataclass(frozen=True)
class FaceFrame:
    """Face coordinates: +x the head's left, +y up, +z forward, pupils 64 mm apart at height 0.

    Attributes:
        origin: (3,) metres.
        scale: metres per face millimetre.
        eye_radius: mean radius of the eyeballs, face millimetres; 0 without eyeballs.
    """

    origin: Array
    scale: float
    eye_radius: float

    def coordinates(self, points: Array) -> Array:
        """(..., 3) metres to face millimetres."""
        return np.asarray((points - self.origin) / self.scale)


def face_frame(rest: RestMesh) -> FaceFrame:
    """Find the frame by the eyeballs, or by the bounding box where the rig has not two of them."""
    vertices = rest.vertices.double().cpu().numpy()
    triangles = rest.topology.triangles.cpu().numpy()
    eyeballs = rest.topology.regions.get("eyeballs")
    used = np.unique(triangles[eyeballs.cpu().numpy()]) if eyeballs is not None else np.zeros(0, int)
    middle = 0.5 * (vertices.min(axis=0) + vertices.max(axis=0))
    points = vertices[used]
    on_left = points[:, 0] > np.median(points[:, 0]) if len(used) else np.zeros(0, dtype=bool)
    if on_left.any():
        left, right = points[on_left], points[~on_left]
        # The middle of the extent, not the mean: eyeballs may be denser in front.
        centres = [0.5 * (half.min(axis=0) + half.max(axis=0)) for half in (left, right)]
        scale = float(centres[0][0] - centres[1][0]) / (2 * HALF_PUPIL_DISTANCE)
        if scale > 0:
            radius = float(np.linalg.norm(left - centres[0], axis=1).mean()) / scale
            origin = 0.5 * (centres[0] + centres[1]) - [0, 0, EYE_DEPTH * scale]
            return FaceFrame(origin, scale, radius)
    return FaceFrame(middle, float(np.ptp(vertices[:, 1])) / 240.0, 0.0)


def vertex_masks(rest: RestMesh, frame: FaceFrame) -> dict[str, Array]:
    """Region name -> (V,) the share of a vertex's triangles that belong to the region.

    Where the rig names no ``scalp`` or ``lips``, their usual place stands in.
    """
    triangles = rest.topology.triangles.cpu().numpy()
    count = np.maximum(np.bincount(triangles.ravel(), minlength=len(rest.vertices)), 1)
    masks = {}
    for name, region in rest.topology.regions.items():
        inside = triangles[region.cpu().numpy()]
        masks[name] = np.bincount(inside.ravel(), minlength=len(rest.vertices)) / count
    points = frame.coordinates(rest.vertices.double().cpu().numpy())
    soft = 1.0 - np.maximum.reduce([masks.get(name, np.zeros(len(points))) for name in SOLID])
    if "scalp" not in masks:
        masks["scalp"] = soft * _usual_scalp(points)
    if "lips" not in masks and masks.get("teeth", np.zeros(1)).any():
        masks["lips"] = soft * _usual_lips(points, points[masks["teeth"] > 0])
    return masks


def _usual_scalp(points: Array) -> Array:
    """A mask of where hair grows: over the forehead, above the ears, down to the nape."""
    angle = np.degrees(np.arctan2(np.abs(points[:, 0]), points[:, 2] + 5.0))
    hairline = np.interp(
        angle, [0, 28, 42, 58, 70, 112, 130, 150, 180], [66, 66, 58, 36, 22, 20, -12, -44, -50]
    )
    return ramp(-4.0, 4.0, points[:, 1] - hairline)


def _usual_lips(points: Array, teeth: Array) -> Array:
    """A mask of the lips: an oval before the front teeth."""
    front = teeth[teeth[:, 2] > teeth[:, 2].max() - 10.0]
    middle = float(np.median(front[:, 1]))
    across = np.abs(points[:, 0]) / 25.5
    high = 8.0 * np.clip(1.0 - across**2, 0.0, 1.0) ** 0.7 + 1e-6
    near = ramp(1.25, 0.75, np.abs(points[:, 1] - middle) / high) * (across < 1.0)
    return np.asarray(near * (points[:, 2] > front[:, 2].min() - 12.0))


def bump(points: Array, x: float, y: float, wide: float, high: float) -> Array:
    """A Gaussian on the front, mirrored: (...) from face coordinates (..., 3)."""
    offset = ((np.abs(points[..., 0]) - x) / wide) ** 2 + ((points[..., 1] - y) / high) ** 2
    return np.asarray(np.exp(-0.5 * offset) * (points[..., 2] > 0))


def ramp(low: float, high: float, x: Array) -> Array:
    """0 below ``low``, 1 above ``high``, a cubic between."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t))

"""Points spread over the skull's skin, of which every frame shows some."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from surfhead_video.landmark_places import LandmarkPlaces

BACKWARDS = -0.2  # cosine to the front from which a triangle counts as the head's back
RIGID = 0.999  # least weight of the neck's joint


@dataclass(frozen=True)
class SkinPoints:
    """L points on triangles.

    Attributes:
        places: where they are, in the form landmarks have.
        corners: (L, 3, 3, 1 + I) of each point's triangle its three corners, those of the mean head and what
            a unit of each identity adds.
    """

    places: LandmarkPlaces
    corners: np.ndarray

    def __len__(self) -> int:
        return len(self.corners)

    def normals(self, shape: np.ndarray) -> np.ndarray:
        """(L, 3) unit normals on the neutral head of an identity (I,)."""
        first, second, third = np.moveaxis(self.corners @ np.r_[1.0, shape], 1, 0)
        normal = np.cross(second - first, third - first)
        return np.asarray(normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12))


def skin_points(rig: Any, landmarks: LandmarkPlaces, count: int) -> SkinPoints:
    """Points evenly spread over skin that is rigid with the skull and does not look backwards.

    Args:
        rig: of kind ``ict``; is prepared for the mean head.
        landmarks: the landmarks on it.
        count: how many.
    """
    model = rig.model()
    regions = rig.prepare({}).topology.regions
    triangles = model.triangles
    skull = rig.linear_model().weights.numpy()[:, 1] > RIGID
    first, second, third = (model.template[triangles[:, i]].astype(np.float64) for i in range(3))
    normal = np.cross(second - first, third - first)
    area = np.linalg.norm(normal, axis=1)
    usable = (regions["face"] | regions["back_head"]).numpy() & skull[triangles].all(axis=1)
    area *= usable & (normal[:, 2] > BACKWARDS * area)
    random = np.random.default_rng(0)
    corner = triangles[random.choice(len(triangles), count, p=area / area.sum())]
    root, along = np.sqrt(random.uniform(size=count)), random.uniform(size=count)
    weight = np.stack([1 - root, root * (1 - along), root * along], axis=1)

    def at(values: np.ndarray) -> np.ndarray:
        """(L, 3) of vertex values (V, 3)."""
        return np.asarray((values[corner] * weight[..., None]).sum(axis=1), np.float64)

    places = replace(
        landmarks,
        mean=at(model.template),
        expressions=np.stack([at(shape) for shape in model.expressions], axis=-1),
        identities=np.stack([at(shape) for shape in model.identities], axis=-1),
        slide=np.zeros((count, *landmarks.slide.shape[1:])),
        eye=np.full(count, -1),
        spread=np.ones(count),
        patterns=np.zeros((count, 3, 0)),
    )
    shapes = [model.template, *model.identities]
    return SkinPoints(places, np.stack([shape[corner] for shape in shapes], axis=-1).astype(np.float64))

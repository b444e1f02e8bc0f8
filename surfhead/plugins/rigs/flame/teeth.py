"""Teeth for FLAME, which has none: two rows of 14 quads, hung between the lips.

120 vertices after FLAME's own, in 8 rows of 15 columns, and 168 triangles after FLAME's own. Vertex and
triangle order agree with GaussianAvatars and VHAP (5143 vertices, 10144 triangles), so bindings and static
offsets made there fit here.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from surfhead.plugins.rigs.flame.model import JAW_JOINT, NECK_JOINT, FlameModel

UPPER_LIP = (1713, 1715, 1716, 1735, 1696, 1694, 1657, 3543, 2774, 2811, 2813, 2850, 2833, 2832, 2830)
LOWER_LIP = (1576, 1577, 1773, 1774, 1795, 1802, 1865, 3503, 2948, 2905, 2898, 2881, 2880, 2713, 2712)
COLUMNS = len(UPPER_LIP)
COUNT = 8 * COLUMNS
# rows in the order of their vertices
UPPER_ROOT, LOWER_ROOT, UPPER_EDGE, LOWER_EDGE, UPPER_ROOT_BACK, UPPER_EDGE_BACK = range(6)
LOWER_ROOT_BACK, LOWER_EDGE_BACK = 6, 7
UPPER_ROWS = (UPPER_ROOT, UPPER_EDGE, UPPER_ROOT_BACK, UPPER_EDGE_BACK)
# each strip: from row, to row, the side it must face
STRIPS = (
    (UPPER_ROOT, UPPER_EDGE, (0, 0, 1)),
    (UPPER_ROOT_BACK, UPPER_EDGE_BACK, (0, 0, -1)),
    (UPPER_EDGE_BACK, UPPER_EDGE, (0, -1, 0)),
    (LOWER_EDGE, LOWER_ROOT, (0, 0, 1)),
    (LOWER_EDGE_BACK, LOWER_ROOT_BACK, (0, 0, -1)),
    (LOWER_EDGE_BACK, LOWER_EDGE, (0, 1, 0)),
)


def tooth_vertices(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """The 120 tooth vertices (120, 3) of lip rings (15, 3), metres."""
    gap = float(np.linalg.norm(upper - lower, axis=1).mean())
    middle = (upper + lower) / 2
    middle[:, 1] = middle[:, 1].mean()
    middle[:, 2] -= 1.5 * gap
    up, back = np.array([0.0, gap, 0.0]), np.array([0.0, 0.0, -gap])
    upper_edge = middle + 0.1 * up
    lower_edge = middle - 0.1 * up + 0.4 * back
    rows = np.empty((8, COLUMNS, 3))
    rows[UPPER_EDGE], rows[UPPER_ROOT] = upper_edge, upper_edge + 2 * up
    rows[LOWER_EDGE], rows[LOWER_ROOT] = lower_edge, lower_edge - 2 * up
    rows[UPPER_ROOT_BACK], rows[UPPER_EDGE_BACK] = rows[UPPER_ROOT] + back, rows[UPPER_EDGE] + back
    rows[LOWER_ROOT_BACK], rows[LOWER_EDGE_BACK] = rows[LOWER_ROOT] + back, rows[LOWER_EDGE] + back
    return rows.reshape(COUNT, 3)


def tooth_triangles(vertices: np.ndarray) -> np.ndarray:
    """The 168 triangles (168, 3) over the 120 vertices, each strip wound towards its own side."""
    column = np.arange(COLUMNS - 1)
    strips = []
    for first, second, side in STRIPS:
        a, b = first * COLUMNS + column, second * COLUMNS + column
        strip = np.stack([np.stack([a, b, b + 1], 1), np.stack([a, b + 1, a + 1], 1)], 1).reshape(-1, 3)
        corner = vertices[strip]
        normals = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
        strips.append(strip if float(normals.sum(0) @ np.asarray(side)) >= 0 else strip[:, [0, 2, 1]])
    return np.concatenate(strips)


def add_teeth(model: FlameModel) -> FlameModel:
    """The model with teeth: identity moves them with the lips, jaw and neck rigidly, nothing else."""
    own = len(model.template)
    upper, lower = np.asarray(UPPER_LIP), np.asarray(LOWER_LIP)
    vertices = tooth_vertices(
        model.template[upper].astype(np.float64), model.template[lower].astype(np.float64)
    )
    shape = np.tile((model.shape[:, upper] + model.shape[:, lower]) / 2, (1, 8, 1))
    weights = np.zeros((8, COLUMNS, model.weights.shape[1]), np.float32)
    weights[:, :, JAW_JOINT] = 1
    weights[UPPER_ROWS, :, JAW_JOINT] = 0
    weights[UPPER_ROWS, :, NECK_JOINT] = 1
    ids = own + np.arange(COUNT)
    in_upper = np.isin(np.arange(COUNT) // COLUMNS, UPPER_ROWS)

    def still(basis: np.ndarray) -> np.ndarray:
        return np.concatenate([basis, np.zeros((len(basis), COUNT, 3), np.float32)], axis=1)

    return replace(
        model,
        template=np.concatenate([model.template, vertices.astype(np.float32)]),
        shape=np.concatenate([model.shape, shape.astype(np.float32)], axis=1),
        expression=still(model.expression),
        pose=still(model.pose),
        regressor=np.pad(model.regressor, ((0, 0), (0, COUNT))),
        weights=np.concatenate([model.weights, weights.reshape(COUNT, -1)]),
        triangles=np.concatenate([model.triangles, own + tooth_triangles(vertices)]),
        masks={
            **model.masks,
            "teeth": ids,
            "upper_teeth": ids[in_upper],
            "lower_teeth": ids[~in_upper],
        },
        uv=None
        if model.uv is None
        else np.concatenate([model.uv, np.zeros((len(STRIPS) * 2 * (COLUMNS - 1), 3, 2), np.float32)]),
    )

"""A model file of FLAME's layout and size, made by code, for the conformance checks.

An ellipsoid open at the bottom and two eyeballs: 5023 vertices numbered so that the lip vertices lie around
a mouth. It has nothing of FLAME's shape or statistics.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np

from surfhead.plugins.rigs.flame.teeth import LOWER_LIP, UPPER_LIP

ROWS, RING = 30, 131  # the head: a pole and 30 rings, 3931 vertices as in FLAME
EYE_ROWS, EYE_RING = 17, 32  # an eyeball: two poles and 17 rings, 546 vertices as in FLAME
HEAD, EYE = 1 + ROWS * RING, 2 + EYE_ROWS * EYE_RING
EYE_RADIUS = 0.012
EYE_CENTRES = ((0.031, 0.03, 0.062), (-0.031, 0.03, 0.062))
JOINT_PLACES = ((0, -0.1, 0), (0, -0.06, 0), (0, -0.02, 0.02), *EYE_CENTRES)


def rings(rows: int, ring: int, last: float) -> tuple[np.ndarray, np.ndarray]:
    """Unit sphere from the pole +y down to the polar angle ``last``: vertices and outward triangles."""
    polar = np.linspace(0, last, rows + 1)[1:, None]
    around = np.linspace(0, 2 * np.pi, ring, endpoint=False)[None]
    grid = np.stack(
        [np.sin(polar) * np.sin(around), np.cos(polar) + 0 * around, np.sin(polar) * np.cos(around)], axis=-1
    )
    vertices = np.concatenate([[[0.0, 1.0, 0.0]], grid.reshape(-1, 3)])
    column = np.arange(ring)
    after = (column + 1) % ring
    triangles = [np.stack([0 * column, 1 + column, 1 + after], axis=1)]
    for row in range(rows - 1):
        a, b, c, d = 1 + row * ring + np.stack([column, column + ring, after + ring, after])
        triangles += [np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)]
    return vertices, np.concatenate(triangles)


def _eyeball() -> tuple[np.ndarray, np.ndarray]:
    vertices, triangles = rings(EYE_ROWS, EYE_RING, np.pi * EYE_ROWS / (EYE_ROWS + 1))
    low = 1 + (EYE_ROWS - 1) * EYE_RING
    column = np.arange(EYE_RING)
    cap = np.stack([low + column, 0 * column + len(vertices), low + (column + 1) % EYE_RING], axis=1)
    return np.concatenate([vertices, [[0.0, -1.0, 0.0]]]), np.concatenate([triangles, cap])


def _numbering() -> np.ndarray:
    """The FLAME number of each head vertex of the grid: lip vertices on two rings below the nose."""
    half = len(UPPER_LIP) // 2
    columns = np.arange(-half, half + 1) % RING
    mouth = np.concatenate([1 + 19 * RING + columns, 1 + 20 * RING + columns])
    lips = np.array(UPPER_LIP + LOWER_LIP)
    number = np.empty(HEAD, np.int64)
    number[mouth] = lips
    number[np.setdiff1d(np.arange(HEAD), mouth)] = np.setdiff1d(np.arange(HEAD), lips)
    return number


def _directions(places: np.ndarray, count: int, size: float, generator: np.random.Generator) -> np.ndarray:
    """(V, 3, count) smooth waves over space, ``size`` metres high, falling with the index."""
    wave = generator.normal(size=(3, count)) * 25
    phase = generator.uniform(0, 2 * np.pi, count)
    axis = generator.normal(size=(3, count))
    axis *= size / np.linalg.norm(axis, axis=0) / np.sqrt(1 + np.arange(count))
    return (np.sin(places @ wave + phase)[:, None, :] * axis).astype(np.float32)


def _ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.clip((values - low) / (high - low), 0, 1)


def write_example(folder: Path) -> Path:
    """Write ``model.pkl`` and ``FLAME_masks.pkl`` to the folder; gives the model's path."""
    generator = np.random.default_rng(0)
    head, head_triangles = rings(ROWS, RING, 0.8 * np.pi)
    number = _numbering()
    places = np.empty((HEAD, 3))
    places[number] = head * [0.075, 0.105, 0.09]
    vertices, triangles = [places], [number[head_triangles]]
    for side, centre in enumerate(EYE_CENTRES):
        ball, ball_triangles = _eyeball()
        vertices.append(np.asarray(centre) + EYE_RADIUS * ball)
        triangles.append(HEAD + side * EYE + ball_triangles)
    template = np.concatenate(vertices)
    count = len(template)
    height, depth = template[:HEAD, 1], template[:HEAD, 2]
    weights = np.zeros((count, 5), np.float32)
    weights[:HEAD, 2] = _ramp(-height, 0.01, 0.05) * _ramp(depth, 0.02, 0.05)
    weights[:HEAD, 1] = (1 - weights[:HEAD, 2]) * _ramp(height, -0.08, -0.05)
    weights[:HEAD, 0] = 1 - weights[:HEAD, 1:].sum(axis=1)
    weights[HEAD : HEAD + EYE, 3] = 1
    weights[HEAD + EYE :, 4] = 1
    regressor = np.zeros((5, count))
    for joint, place in enumerate(JOINT_PLACES):
        # the combination of smallest norm that meets the place exactly
        system = np.concatenate([template.T, np.ones((1, count))])
        regressor[joint] = np.linalg.lstsq(system, np.append(place, 1.0), rcond=None)[0]
    shapes = _directions(template, 150, 0.002, generator)  # 100 shape, 50 expression
    shapes[HEAD:, :, 100:] = 0  # expressions leave the eyeballs round
    ids = np.arange(count)
    rim = number[1 + (ROWS - 2) * RING :]
    masks = {
        "face": number[np.flatnonzero((head[:, 2] > 0.3) & (head[:, 1] > -0.6))],
        "boundary": rim,
        "left_eyeball": ids[HEAD : HEAD + EYE],
        "right_eyeball": ids[HEAD + EYE :],
        "scalp": number[np.flatnonzero(head[:, 1] > 0.6)],
        "neck": number[np.flatnonzero(head[:, 1] < -0.6)],
    }
    content = {
        "v_template": template,
        "shapedirs": shapes,
        "posedirs": _directions(template, 36, 0.0005, generator),
        "J_regressor": regressor,
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]]),
        "weights": weights,
        "f": np.concatenate(triangles).astype(np.uint32),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in (("model.pkl", content), ("FLAME_masks.pkl", masks)):
        with (folder / name).open("wb") as file:
            pickle.dump(value, file)
    return folder / "model.pkl"

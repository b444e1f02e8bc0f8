"""A small head in ICT-FaceKit's official layout, made by code, for the conformance checks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from surfhead.plugins.rigs.flame.example import rings

EXPRESSIONS = ("browInnerUp_L", "jawOpen", "mouthSmile_L")
HEAD_ROWS, HEAD_RING = 12, 24
# name of the material, centre in centimetres, radius
BALLS = (
    ("M_Teeth", (0.0, -3.0, 5.0), 1.5),
    ("M_ScleraLeft", (3.1, 3.6, 6.5), 1.5),
    ("M_IrisLeft", (3.1, 3.6, 6.6), 1.4),
    ("M_ScleraRight", (-3.1, 3.6, 6.5), 1.5),
    ("M_IrisRight", (-3.1, 3.6, 6.6), 1.4),
    ("M_EyeLashes", (0.0, 3.6, 9.5), 0.5),
)


def _write(path: Path, vertices: np.ndarray, faces: list[tuple[str, list[list[int]]]]) -> None:
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices]
    lines += [f"vt {0.5 + x / 30:.6f} {0.5 + y / 30:.6f}" for x, y, _ in vertices]
    for material, polygons in faces:
        lines.append(f"usemtl {material}")
        lines += ["f " + " ".join(f"{i + 1}/{i + 1}" for i in polygon) for polygon in polygons]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _paired(triangles: np.ndarray) -> list[list[int]]:
    """The triangles of ``rings`` as polygons: the pole's fan, then quads."""
    fan: list[list[int]] = triangles[:HEAD_RING].tolist()
    rest = triangles[HEAD_RING:].reshape(-1, HEAD_RING, 3)
    lower, upper = rest[0::2].reshape(-1, 3), rest[1::2].reshape(-1, 3)
    return fan + [[a, b, c, d] for (a, b, c), (_, _, d) in zip(lower.tolist(), upper.tolist(), strict=True)]


def write_example(folder: Path) -> Path:
    """Write ``FaceXModel`` with a neutral head, three expressions and two identities; gives ``folder``."""
    target = folder / "FaceXModel"
    target.mkdir(parents=True, exist_ok=True)
    head, triangles = rings(HEAD_ROWS, HEAD_RING, 0.8 * np.pi)
    polygons = _paired(triangles)
    middle = triangles.reshape(-1)[: 3 * HEAD_RING]
    front = [p for p in polygons if head[p, 2].mean() > 0 and not np.isin(p, middle).all()]
    back = [p for p in polygons if p not in front]
    ball, ball_triangles = rings(6, 8, 0.9 * np.pi)
    vertices, faces = [head * [7.5, 12.0, 9.0]], [("M_Face", front), ("M_BackHead", back)]
    for name, centre, radius in BALLS:
        start = sum(map(len, vertices))
        vertices.append(np.asarray(centre) + radius * ball)
        faces.append((name, (start + ball_triangles).tolist()))
    neutral = np.concatenate(vertices)
    chin = int(np.argmin(np.linalg.norm(neutral - [0, -6.0, 8.0], axis=1)))
    _write(target / "generic_neutral_mesh.obj", neutral, faces)
    skin = (np.arange(len(neutral)) < len(head)).astype(float)
    x, y, z = neutral.T
    moves = {
        "browInnerUp_L": np.stack([0 * x, skin * np.exp(-(((x - 3) ** 2 + (y - 6) ** 2) / 8)), 0 * x], 1),
        "jawOpen": np.stack([0 * x, -2.5 * np.clip(-y / 8, 0, 1) * (z > 0), 0 * x], 1),
        "mouthSmile_L": np.stack([skin * np.exp(-(((x - 3) ** 2 + (y + 3) ** 2) / 6)), 0 * y, 0 * z], 1),
        "identity000": np.stack([0.05 * x, 0 * y, 0 * z], 1),
        "identity001": np.stack([0 * x, 0.04 * y, 0.02 * z], 1),
    }
    for name, move in moves.items():
        _write(target / f"{name}.obj", neutral + move, faces)
    content = {"expressions": list(EXPRESSIONS), "idx_to_landmark_verts": [chin] * 68}
    (target / "vertex_indices.json").write_text(json.dumps(content), encoding="utf-8")
    return folder

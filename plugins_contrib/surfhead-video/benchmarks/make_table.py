"""Makes the table landmark -> place on the ICT head, from what `draw_for_table.py` kept.

    python make_table.py ict.safetensors drawn.npz ../src/surfhead_video/landmarks_on_ict.npz

Candidates are the head's points that rays meet which are cast from in front at the mean head with an open
mouth; irises have candidates of their own. Of every candidate all pictures' true projections are known, as
pose, identity and expression are. A landmark goes to the candidate whose distances to the detections, each
cut off at 6 % of the distance between the eyes' outer corners, have the least mean; first among vertices,
then among points of the triangles round the best. What detections then still depart by is explained, as far
as it can be, by a constant offset and a slide linear in the camera's direction and nearness (regularised
robust least squares): landmarks of the contour move along the head as it turns, and the detector takes turned
heads for less turned ones, near ones for less near ones. The spread of a landmark is the root mean square of
the distances left (the largest tenth not counted), as a fraction of the distance between the eyes' corners.
People are left out in turn to say what the slide is worth for somebody new.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from drawn_heads import TURNED, camera
from surfhead_video.fitted_head import Fit, camera_place, head_points
from surfhead_video.landmark_places import IRISES, LandmarkPlaces, landmark_places

from surfhead.core.api import create
from surfhead.meshes.meshcaster import MeshCaster

CUT = 0.06
NOISE = 0.02  # of detections, fraction of the eyes' distance
SLIDING = 0.002  # metres, for offsets and slides (a turn by a quarter would move that far)
GRID = 8  # parts of a triangle's edge among whose corners the best point is sought


def seen_vertices(rig: object) -> np.ndarray:
    """Vertices of the triangles rays meet from in front, and of the irises."""
    expression = torch.zeros(1, len(rig.expressions()))
    expression[0, rig.expressions().index("jawOpen")] = 0.5
    triangles = rig.rest().topology.triangles
    caster = MeshCaster(rig({"expression": expression}).vertices[0], triangles)
    from scipy.spatial.transform import Rotation

    used = []
    for yaw in (-50, -25, 0, 25, 50):
        for pitch in (-20, 10, 30):
            turn = TURNED @ Rotation.from_euler("YX", [yaw, pitch], degrees=True).as_matrix()
            hits = caster.cast(camera(turn, np.array([0, 0, 0.8]), 1800.0, 1024))
            used.append(torch.unique(hits.triangle[hits.mask]))
    used = torch.unique(torch.cat(used))
    regions = rig.rest().topology.regions
    skin = regions["face"][used]
    front = rig.rest().vertices[triangles[used]].mean(dim=1)[:, 2] > -0.01
    return torch.unique(triangles[used[skin & front]]).numpy()


def projected(
    rig_model: dict[str, np.ndarray], rows: dict[str, np.ndarray], vertices: np.ndarray
) -> np.ndarray:
    """(M, C, 2) pixels of some vertices in every picture."""
    made = np.empty((len(rows["focal"]), len(vertices), 2), np.float32)
    rig = rig_model["rig"]
    person = None
    for m in range(len(made)):
        if person != int(rows["person"][m]):
            person = int(rows["person"][m])
            rig.prepare({"shape": torch.from_numpy(rows["shape"][m]).float()})
        given = {name: torch.from_numpy(rows[name][m])[None].float() for name in ("expression", "eyes")}
        with torch.no_grad():
            points = rig(given).vertices[0].double().numpy()[vertices]
        points = points @ rows["rotation"][m].T + rows["translation"][m]
        made[m] = points[:, :2] / points[:, 2:] * rows["focal"][m] + 256.0
    return made


def cost(distance: np.ndarray) -> np.ndarray:
    """Mean over the first axis of cut-off squares."""
    return (np.minimum(distance / CUT, 1.0) ** 2).mean(axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("head", "drawn", "out"):
        parser.add_argument(name, type=Path)
    options = parser.parse_args()
    rig = create("rig", "ict", {"path": str(options.head)})
    rows = dict(np.load(options.drawn))
    rest = rig.prepare({})
    triangles = rest.topology.triangles.numpy()
    candidates = seen_vertices(rig)
    irises = {side: np.unique(triangles[rig.model().of(f"{side}_iris")]) for side in ("left", "right")}
    # only the front of the iris' part: the rest is inside the head
    irises = {
        side: part[rest.vertices.numpy()[part, 2] > rest.vertices.numpy()[part, 2].max() - 0.006]
        for side, part in irises.items()
    }
    every = np.unique(np.concatenate([candidates, *irises.values()]))
    pixels = projected({"rig": rig}, rows, every)
    landmarks = rows["landmarks"].astype(np.float32)
    eyes = rows["rotation"] @ [0.0, 0.036, 0.08] + rows["translation"]
    unit = 0.09 * rows["focal"] / eyes[:, 2]  # an average distance between the outer corners
    where = {int(vertex): place for place, vertex in enumerate(every)}
    of_vertex: dict[int, list[int]] = {}
    allowed = np.isin(triangles, every).all(axis=1)
    for face in np.flatnonzero(allowed):
        for vertex in triangles[face]:
            of_vertex.setdefault(int(vertex), []).append(int(face))
    steps = [(i / GRID, j / GRID) for i in range(GRID + 1) for j in range(GRID + 1 - i)]
    grid = np.array([(1 - a - b, a, b) for a, b in steps], np.float32)
    count = landmarks.shape[1]
    face, weights = np.zeros(count, np.int64), np.zeros((count, 3))
    for mark in range(count):
        side = next((side for side, marks in IRISES.items() if mark in marks), None)
        pool = candidates if side is None else irises[side]
        pool = np.array([vertex for vertex in pool if int(vertex) in of_vertex])
        places = np.array([where[int(vertex)] for vertex in pool])
        away = np.linalg.norm(pixels[:, places] - landmarks[:, mark, None], axis=2) / unit[:, None]
        near = pool[np.argsort(cost(away))[:5]]
        best = None
        for host in sorted({face for vertex in near for face in of_vertex[int(vertex)]}):
            corners = pixels[:, [where[int(vertex)] for vertex in triangles[host]]]
            points = np.einsum("gc,mcx->mgx", grid, corners)
            distance = np.linalg.norm(points - landmarks[:, mark, None], axis=2) / unit[:, None]
            costs = cost(distance)
            at = int(costs.argmin())
            if best is None or costs[at] < best[0]:
                best = (costs[at], host, grid[at])
        face[mark], weights[mark] = best[1], best[2]
    print(f"{len(landmarks)} pictures, {len(candidates)} candidates")
    table = {
        "triangle": face.astype(np.int32),
        "barycentric": weights.astype(np.float32),
        "mesh": np.array([len(rest.vertices), len(triangles)]),
    }
    write(options.out, table, rig, rows)


def write(path: Path, table: dict[str, np.ndarray], rig: object, rows: dict[str, np.ndarray]) -> None:
    """Find offsets, slides and spreads, and write the table."""
    blank = {"offset": np.zeros((478, 3)), "slide": np.zeros((478, 3, 3)), "spread": np.zeros(478)}
    np.savez_compressed(path, **table, **blank)
    places = landmark_places(rig, path)
    offset, slide, spread = slides(places, rows)
    shown = (5, 25, 50, 75, 95)
    print("spread, % of the eyes' distance:", np.percentile(100 * spread, shown).round(2))
    learnt = {"offset": offset, "slide": slide, "spread": spread}
    np.savez_compressed(path, **table, **{name: value.astype(np.float32) for name, value in learnt.items()})


def slides(places: LandmarkPlaces, rows: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Offsets (L, 3), slides (L, 3, 3) and spreads (L,) of the landmarks; prints what they are worth."""
    focal, size = rows["focal"], 512
    count = len(focal)
    known = [
        Fit(
            float(focal[m]),
            rows["shape"][m],
            *(rows[name][m : m + 1] for name in ("rotation", "translation")),
            rows["expression"][m : m + 1],
            rows["eyes"][m : m + 1, :2],
        )
        for m in range(count)
    ]
    points = np.concatenate([head_points(places, fit)[0] for fit in known])
    turn, move = rows["rotation"], rows["translation"]
    seen = np.einsum("mij,mlj->mli", turn, points) + move[:, None]
    depth = seen[..., 2:]
    eyes = turn @ [0.0, 0.036, 0.08] + move
    unit = (0.09 * focal / eyes[:, 2])[:, None, None]
    plane = seen[..., :2] / depth
    missing = (rows["landmarks"] - focal[:, None, None] * plane - size / 2) / unit
    by_point = turn[:, None, :2] - plane[..., None] * turn[:, None, 2:]
    by_point = (focal[:, None, None] / depth / unit)[..., None] * by_point
    view = np.concatenate([camera_place(fit) for fit in known])
    features = np.concatenate([np.ones((count, 1)), view], axis=1)

    def solved(mark: int, used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows_of = np.einsum("mac,mk->mack", by_point[:, mark], features).reshape(count, 2, 12)
        weight = used / (1 + (np.linalg.norm(missing[:, mark], axis=1) / CUT) ** 2)
        left = np.einsum("maj,m,mak->jk", rows_of, weight, rows_of) / NOISE**2
        right = np.einsum("maj,m,ma->j", rows_of, weight, missing[:, mark]) / NOISE**2
        found = np.linalg.solve(left + np.eye(12) / SLIDING**2, right)
        return found, np.linalg.norm(missing[:, mark] - rows_of @ found, axis=1)

    offset, slide, spread = np.zeros((478, 3)), np.zeros((478, 3, 3)), np.zeros(478)
    new = np.zeros((count, 478))
    for mark in range(478):
        found, distance = solved(mark, np.ones(count))
        found = found.reshape(3, 4)
        offset[mark], slide[mark] = found[:, 0], found[:, 1:]
        spread[mark] = np.sqrt((np.sort(distance)[: int(0.9 * count)] ** 2).mean())
        for fold in range(3):
            out = rows["person"] % 3 == fold
            new[out, mark] = solved(mark, (~out).astype(float))[1][out]
    before = np.linalg.norm(missing, axis=2)
    for name, distance in (("without slides", before), ("with slides, people left out", new)):
        middle, wide = np.median(distance), np.sqrt((distance**2).mean())
        print(f"{name}: median {100 * middle:.2f} %, rms {100 * wide:.2f} %")
    return offset, slide, spread


if __name__ == "__main__":
    main()

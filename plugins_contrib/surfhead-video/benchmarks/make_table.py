"""Makes the table landmark -> place on the ICT head, from what `detect_drawn.py` found.

    python make_table.py ict.safetensors drawn.npz ../src/surfhead_video/landmarks_on_ict.npz

Candidates are the head's points that rays meet which are cast from in front at the mean head with an open
mouth; irises have candidates of their own. Of every candidate all pictures' true projections are known, as
pose, identity and expression are. A landmark goes to the candidate whose distances to the detections, each
cut off at 6 % of the distance between the eyes' outer corners, have the least mean; first among vertices,
then among points of the triangles round the best. What detections then still depart by is explained, as far
as it can be, by a constant offset, a slide with the camera's direction and nearness and their products, and a
move for each unit of each identity and expression (regularised robust least squares): landmarks of the
contour move along the head as it turns, and the detector takes turned heads for less turned ones, near ones
for less near ones, and unusual people and expressions for more usual ones. The spread of a landmark is the
root mean square of the distances left (the largest tenth not counted), as a fraction of the distance between
the eyes' corners. Half of the textures are left out in turn to say what it is worth for somebody new.

With --places-of TABLE the triangles are those of an earlier table, and only the rest is found anew.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from drawn_heads import TURNED, camera
from surfhead_video.fitted_head import Fit, camera_place, head_points, view_terms
from surfhead_video.landmark_places import IRISES, LandmarkPlaces, landmark_places

from surfhead.core.api import create
from surfhead.meshes.meshcaster import MeshCaster

CUT = 0.06
NOISE = 0.02  # of detections, fraction of the eyes' distance
# how far a landmark may be expected to move, metres: at all, by the camera's place, by its products, by a
# unit of identity, by a full expression
OFFSET, SLIDING, BENDING, IDENTITY, EXPRESSION = 0.006, 0.008, 0.01, 0.001, 0.002
ROUNDS = 2  # of the robust weights
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
        made[m] = points[:, :2] / points[:, 2:] * rows["focal"][m] + rows["size"] / 2
    return made


def cost(distance: np.ndarray) -> np.ndarray:
    """Mean over the first axis of cut-off squares."""
    return (np.minimum(distance / CUT, 1.0) ** 2).mean(axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("head", "drawn", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--places-of", type=Path)
    options = parser.parse_args()
    rig = create("rig", "ict", {"path": str(options.head)})
    rows = dict(np.load(options.drawn))
    if options.places_of is not None:
        earlier = np.load(options.places_of)
        table = {name: earlier[name] for name in ("triangle", "barycentric", "mesh")}
    else:
        table = found_places(rig, rows)
    write(options.out, table, rig, rows)


def found_places(rig: Any, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Triangle and barycentric weights of every landmark."""
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
    return {
        "triangle": face.astype(np.int32),
        "barycentric": weights.astype(np.float32),
        "mesh": np.array([len(rest.vertices), len(triangles)]),
    }


def write(path: Path, table: dict[str, np.ndarray], rig: Any, rows: dict[str, np.ndarray]) -> None:
    """Find what the detector adds to the places, and the spreads, and write the table."""
    identities, names = rows["shape"].shape[1], rig.expressions()
    blank = {
        "offset": np.zeros((478, 3)),
        "slide": np.zeros((478, 3, 9)),
        "by_identity": np.zeros((478, 3, identities)),
        "by_expression": np.zeros((478, 3, len(names))),
        "spread": np.zeros(478),
        "expressions": np.array(names),
    }
    np.savez_compressed(path, **table, **blank)
    added, spread = responses(landmark_places(rig, path), rows)
    shown = (5, 25, 50, 75, 95)
    print("spread, % of the eyes' distance:", np.percentile(100 * spread, shown).round(2))
    offset, slide, by_identity, by_expression = np.split(added, [1, 10, 10 + identities], axis=2)
    learnt = {
        "offset": offset[..., 0].astype(np.float32),
        "slide": slide.astype(np.float32),
        "by_identity": by_identity.astype(np.float16),
        "by_expression": by_expression.astype(np.float16),
        "spread": spread.astype(np.float32),
    }
    np.savez_compressed(path, **{**table, **blank, **learnt})


def responses(places: LandmarkPlaces, rows: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """What the detector adds (L, 3, 1 + 9 + I + K) and spreads (L,); prints what they are worth."""
    focal, count = rows["focal"], len(rows["focal"])
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
    missing = (rows["landmarks"] - focal[:, None, None] * plane - rows["size"] / 2) / unit
    by_point = turn[:, None, :2] - plane[..., None] * turn[:, None, 2:]
    by_point = (focal[:, None, None] / depth / unit)[..., None] * by_point
    view = np.concatenate([view_terms(camera_place(fit)) for fit in known])
    features = np.concatenate([np.ones((count, 1)), view, rows["shape"], rows["expression"]], axis=1)
    expected = np.r_[OFFSET, np.full(3, SLIDING), np.full(6, BENDING)]
    expected = np.r_[expected, np.full(rows["shape"].shape[1], IDENTITY)]
    expected = np.r_[expected, np.full(rows["expression"].shape[1], EXPRESSION)]

    def solved(mark: int, used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows_of = np.einsum("mac,mk->mack", by_point[:, mark], features).reshape(2 * count, -1)
        target = missing[:, mark].reshape(-1)
        found = np.zeros(rows_of.shape[1])
        for _ in range(ROUNDS):
            off = np.linalg.norm((target - rows_of @ found).reshape(-1, 2), axis=1)
            weight = np.repeat(used / (1 + (off / CUT) ** 2), 2)
            left = rows_of.T @ (rows_of * weight[:, None]) / NOISE**2 + np.diag(np.tile(expected, 3) ** -2.0)
            found = np.linalg.solve(left, rows_of.T @ (weight * target) / NOISE**2)
        return found.reshape(3, -1), np.linalg.norm((target - rows_of @ found).reshape(-1, 2), axis=1)

    added, spread = np.zeros((478, 3, features.shape[1])), np.zeros(478)
    fold = np.unique(rows["person"], return_inverse=True)[1] % 2
    tried = range(0, 478, 7)  # of the landmarks, for new people: enough to tell
    new = np.zeros((count, len(tried)))
    for mark in range(478):
        added[mark], distance = solved(mark, np.ones(count))
        spread[mark] = np.sqrt((np.sort(distance)[: int(0.9 * count)] ** 2).mean())
    for place, mark in enumerate(tried):
        for out in (fold == 0, fold == 1):
            new[out, place] = solved(mark, (~out).astype(float))[1][out]
    before = np.linalg.norm(missing[:, list(tried)], axis=2)
    for name, distance in (("places alone", before), ("with what was learnt, textures left out", new)):
        middle, wide = np.median(distance), np.sqrt((distance**2).mean())
        print(f"{name}: median {100 * middle:.2f} %, rms {100 * wide:.2f} %")
    return added, spread


if __name__ == "__main__":
    main()

"""What the detector errs by in all pictures of somebody, in drawn clips: patterns for landmarks' table.

    OMP_NUM_THREADS=1 python measure_patterns.py ict.safetensors face_landmarker.task CLIPS \\
        [--table ../src/surfhead_video/landmarks_on_ict.npz]

Clips are those of `synthetic_clips.py`, with their truth. For every person: the places (metres, in the head's
frame) that suit the detections best where everything else is the true head's, by ridge regression. People are
few, so each also counts mirrored. The patterns are the errors themselves, divided by the root of their
number: with independent amounts of unit deviation they have the people's second moments about the table, what
is common to all included. Each person in turn is told from the others: the share of the error's square that
their patterns explain, at best and by their mean alone. With --table the patterns are put into this table,
which `make_table.py` makes without them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from measure_tracking import true_fit
from surfhead_video.clip import Clip
from surfhead_video.detection import chosen, detect
from surfhead_video.fitted_head import Detections, Fit, head_points, projections
from surfhead_video.landmark_places import LandmarkPlaces, landmark_places, make_rig
from surfhead_video.landmarker import Landmarker
from surfhead_video.tracking import as_detections

NOISE = 0.01  # of a detection, fraction of the eyes' distance
EXPECTED = 0.003  # metres that a landmark errs by
LEFT = 0.3  # of the patterns' mean square: what an error has besides them


def errors(places: LandmarkPlaces, known: Fit, found: Detections) -> np.ndarray:
    """(L, 3) by which landmarks lie elsewhere on this person than the table says."""
    turned = np.einsum("tij,tlj->tli", known.rotation, head_points(places, known)[0])
    seen = turned + known.translation[:, None]
    depth, plane = seen[..., 2, None, None], (seen[..., :2] / seen[..., 2:])[..., None]
    turn = known.rotation[:, None]
    pixels, unit = projections(places, known, found.width, found.height)
    noise = NOISE * unit[:, None, None]
    change = known.focal / depth * (turn[..., :2, :] - plane * turn[..., 2:, :]) / noise[..., None]
    missing = (found.landmarks - pixels) / noise
    matrix = np.einsum("tlac,tlad->lcd", change, change) + np.eye(3) / EXPECTED**2
    right = np.einsum("tlac,tla->lc", change, missing)
    return np.asarray(np.linalg.solve(matrix, right[..., None])[..., 0])


def mirrored(places: LandmarkPlaces) -> np.ndarray:
    """(L,) the landmark of the other side."""
    other = places.mean * [-1, 1, 1]
    return np.array([int(np.argmin(np.linalg.norm(places.mean - point, axis=1))) for point in other])


def patterns_of(people: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """(L, 3, 2 P) patterns of the errors (P, L, 3)."""
    both = np.concatenate([people, people[:, mirror] * [-1, 1, 1]])
    return np.moveaxis(both, 0, -1) / np.sqrt(len(both))


def explained(patterns: np.ndarray, error: np.ndarray) -> float:
    """Share of an error's square (L, 3) that patterns (L, 3, N) explain."""
    flat = patterns.reshape(-1, patterns.shape[-1])
    own = flat.T @ flat
    own += LEFT * np.trace(own) / len(own) * np.eye(len(own))
    left = error.ravel() - flat @ np.linalg.solve(own, flat.T @ error.ravel())
    return float(1 - (left**2).sum() / (error**2).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("head", "model", "clips"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--table", type=Path, help="put the patterns into this table")
    parser.add_argument("--people", nargs="+", help="of these clips only")
    options = parser.parse_args()
    places = landmark_places(make_rig(options.head))
    mirror = mirrored(places)
    names, made = [], []
    for clip in sorted(options.clips.glob("*.mp4")):
        if options.people and clip.stem not in options.people:
            continue
        with Landmarker(options.model) as landmarker:
            used = chosen(detect(Clip(clip).frames(), [landmarker]))
        known = true_fit(dict(np.load(clip.with_suffix(".npz"))), used.number)
        names.append(clip.stem)
        made.append(errors(places, known, as_detections(used, places)))
    people = np.array(made)
    for row, name in enumerate(names):
        others = np.delete(people, row, axis=0)
        size = 1000 * np.sqrt((people[row] ** 2).sum(axis=1).mean())
        line = f"{name}: errs by {size:.2f} mm"
        if len(others):
            patterns = patterns_of(others, mirror)
            mean = patterns.mean(axis=-1) * np.sqrt(patterns.shape[-1])
            left = ((people[row] - mean) ** 2).sum() / (people[row] ** 2).sum()
            line += (
                f"; explained by the others {explained(patterns, people[row]):.2f}, their mean {1 - left:.2f}"
            )
        print(line, flush=True)
    if options.table is not None:
        with np.load(options.table) as file:
            table = {name: file[name] for name in file.files}
        table["patterns"] = patterns_of(people, mirror).astype(np.float16)
        np.savez_compressed(options.table, **table)


if __name__ == "__main__":
    main()

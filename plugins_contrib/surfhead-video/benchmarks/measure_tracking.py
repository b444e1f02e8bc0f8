"""Tracks the clips of `synthetic_clips.py` and compares with what is known: a table by stage.

    OMP_NUM_THREADS=1 python measure_tracking.py ict.safetensors face_landmarker.task CLIPS

Stages: MediaPipe's own head pose and scores with the usual focal length; the same with the scores above a
person's usual ones; the fit; the poses from pictures. Rotations are the skull's; the reprojection error is
the median distance of the landmarks detected from those fitted; true landmarks are those of the true head,
which no fit sees. Sliding is what an avatar cannot learn away: points of the true skin lie on the fitted head
at the constant offset that suits the first four fifths of the clip best; the median distance at which they
then miss the true ones in the last fifth is given in % of the eyes' distance.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation
from surfhead_video.clip import Clip
from surfhead_video.detection import Found, chosen, detect
from surfhead_video.fitted_head import Detections, Fit, projections, reprojection
from surfhead_video.head_fit import Priors, starting_fit
from surfhead_video.landmark_places import OUTER_CORNERS, LandmarkPlaces, landmark_places, make_rig
from surfhead_video.landmarker import Landmarker
from surfhead_video.skin_points import SkinPoints, skin_points
from surfhead_video.texture_fit import refine_poses, seen_places
from surfhead_video.tracking import POINTS, as_detections
from surfhead_video.windows import fit_clip

HEADER = (
    "stage",
    "rotation °",
    "apart from a constant °",
    "reprojection %",
    "true points %",
    "expression",
    "focal %",
    "identity mm",
    "sliding %",
)

TRAINED = 0.8  # of the clip
FACING = 0.35  # cosine to the camera from which a point counts as seen


def true_fit(truth: dict[str, np.ndarray], number: np.ndarray) -> Fit:
    """What is known of some frames."""
    return Fit(
        float(truth["focal"]),
        truth["shape"],
        truth["skull_rotation"][number],
        truth["skull_translation"][number],
        truth["expression"][number],
        truth["eyes"][number, :2],
    )


def figures(places: LandmarkPlaces, fit: Fit, truth: Fit, found: Detections) -> list[float]:
    """One row of the table, without the stage."""
    plain = replace(places, slide=np.zeros_like(places.slide), patterns=places.patterns[..., :0])
    off = Rotation.from_matrix(fit.rotation.transpose(0, 2, 1) @ truth.rotation)  # in the head's frame
    turn, constant = np.degrees(off.magnitude()), off.mean()
    mine, _ = projections(plain, fit, found.width, found.height)
    true, unit = projections(plain, truth, found.width, found.height)
    away = np.median(np.linalg.norm(mine - true, axis=2) / unit[:, None])
    shape = np.linalg.norm(plain.neutral(fit.shape) - plain.neutral(truth.shape), axis=1)
    return [
        float(np.median(turn)),
        float(np.median(np.degrees((constant.inv() * off).magnitude()))),
        100 * float(np.median(reprojection(places, fit, found))),
        100 * float(away),
        float(np.abs(fit.expression - truth.expression).mean()),
        100 * (fit.focal / truth.focal - 1),
        1000 * float(shape.mean()),
    ]


def sliding(points: SkinPoints, fit: Fit, truth: Fit, found: Detections) -> float:
    """Median error in the last fifth, points at their best offsets, fraction of the eyes' distance."""
    mine, seen, _ = seen_places(points, fit, found)
    true, there, _ = seen_places(points, truth, found)
    towards = -there / np.linalg.norm(there, axis=2, keepdims=True)
    shown = np.einsum("tij,lj,tli->tl", truth.rotation, points.normals(truth.shape), towards) > FACING
    learnt = np.arange(len(found)) < round(TRAINED * len(found))
    turn, depth = fit.rotation[:, None], seen[..., 2, None, None]
    plane = (seen[..., :2] / seen[..., 2:])[..., None]
    change = fit.focal / depth * (turn[..., :2, :] - plane * turn[..., 2:, :])  # by an offset, (T, L, 2, 3)
    weight = (shown & learnt[:, None]).astype(float)
    matrix = np.einsum("tl,tlcd,tlce->lde", weight, change, change)
    matrix += 1e-6 * np.abs(change).max() ** 2 * np.eye(3)
    right = np.einsum("tl,tlcd,tlc->ld", weight, change, true - mine)
    offset = np.linalg.solve(matrix, right[..., None])[..., 0]
    left = np.linalg.norm(true - mine - np.einsum("tlcd,ld->tlc", change, offset), axis=2)
    corners = found.landmarks[:, OUTER_CORNERS]
    unit = np.median(np.linalg.norm(corners[:, 0] - corners[:, 1], axis=1))
    return float(np.median(left[shown & ~learnt[:, None]]) / unit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("head", "model", "clips"):
        parser.add_argument(name, type=Path)
    options = parser.parse_args()
    rig = make_rig(options.head)
    places = landmark_places(rig)
    skin = skin_points(rig, places, POINTS)
    print("| clip | " + " | ".join(HEADER) + " |\n|" + "---|" * (len(HEADER) + 1))
    for clip in sorted(options.clips.glob("*.mp4")):
        truth = dict(np.load(clip.with_suffix(".npz")))
        kept = clip.with_suffix(".detected.npy")
        start = (time.perf_counter(), time.process_time())
        if kept.exists():
            found = np.load(kept, allow_pickle=True).item()
        else:
            with Landmarker(options.model) as landmarker:
                found = detect(Clip(clip).frames(), [landmarker])
            np.save(kept, found, allow_pickle=True)
        detected = (time.perf_counter(), time.process_time())
        used: Found = chosen(found)
        detections = as_detections(used, places)
        known = true_fit(truth, used.number)
        priors = Priors()
        first = starting_fit(places, detections, priors)
        fit = fit_clip(places, detections, priors)
        fitted = (time.perf_counter(), time.process_time())
        refined = refine_poses(Clip(clip).frames, used.number, places, skin, detections, priors, fit)
        done = (time.perf_counter(), time.process_time())
        for stage, row in (("MediaPipe", first), ("fit", fit), ("pictures", refined)):
            values = [*figures(places, row, known, detections), 100 * sliding(skin, row, known, detections)]
            numbers = " | ".join(f"{value:.3g}" for value in values)
            print(f"| {clip.stem} | {stage} | {numbers} |")
        print(
            f"| {clip.stem} | {len(used)} of {found.frames} frames; landmarks "
            f"{detected[0] - start[0]:.0f} s (processor {detected[1] - start[1]:.0f} s), fit "
            f"{fitted[0] - detected[0]:.0f} s ({fitted[1] - detected[1]:.0f} s), pictures "
            f"{done[0] - fitted[0]:.0f} s ({done[1] - fitted[1]:.0f} s) " + "| " * len(HEADER),
            flush=True,
        )
        for note in used.notes:
            print(note)


if __name__ == "__main__":
    main()

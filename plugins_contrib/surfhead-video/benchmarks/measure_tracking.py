"""Tracks the clips of `synthetic_clips.py` and compares with what is known: a table by stage.

    OMP_NUM_THREADS=1 python measure_tracking.py ict.safetensors face_landmarker.task CLIPS

Stages: MediaPipe's own head pose and scores with the usual focal length; the same with the scores above a
person's usual ones; the fit. Rotations are the skull's; the reprojection error is the median distance of the
landmarks detected from those fitted; true landmarks are those of the true head, which no fit sees.
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
from surfhead_video.landmark_places import LandmarkPlaces, landmark_places, make_rig
from surfhead_video.landmarker import Landmarker
from surfhead_video.tracking import as_detections
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
)


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
    plain = replace(places, slide=np.zeros_like(places.slide))
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("head", "model", "clips"):
        parser.add_argument(name, type=Path)
    options = parser.parse_args()
    rig = make_rig(options.head)
    places = landmark_places(rig)
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
        done = (time.perf_counter(), time.process_time())
        for stage, row in (("MediaPipe", first), ("fit", fit)):
            numbers = " | ".join(f"{value:.3g}" for value in figures(places, row, known, detections))
            print(f"| {clip.stem} | {stage} | {numbers} |")
        print(
            f"| {clip.stem} | {len(used)} of {found.frames} frames; landmarks "
            f"{detected[0] - start[0]:.0f} s (processor {detected[1] - start[1]:.0f} s), fit "
            f"{done[0] - detected[0]:.0f} s ({done[1] - detected[1]:.0f} s) " + "| " * len(HEADER),
            flush=True,
        )
        for note in used.notes:
            print(note)


if __name__ == "__main__":
    main()

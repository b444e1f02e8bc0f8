"""Trains on clips of `synthetic_clips.py` as tracked and with their true parameters, and compares.

    OMP_NUM_THREADS=1 python train_tracked.py ict.safetensors face_landmarker.task CLIPS OUT --people 101

All are written as ordinary folders, with pictures cut and masks made by the true head, and trained with
preset `monocular`, all of it in so many images. The last fifth is held out, and drawn with its own
tracked or true parameters. ``landmarks`` is the fit without the poses from pictures; ``true pose`` is tracked
but for the true rotations, translations and focal length, and so on: what of the gap each part accounts for.
``own`` is as a user has it: cut and masked by the fitted head.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from measure_tracking import true_fit
from surfhead_video.clip import Clip
from surfhead_video.dataset import VideoScene
from surfhead_video.detection import chosen, detect
from surfhead_video.fitted_head import Fit
from surfhead_video.head_fit import Priors
from surfhead_video.landmark_places import landmark_places, make_rig
from surfhead_video.landmarker import Landmarker
from surfhead_video.skin_points import skin_points
from surfhead_video.texture_fit import refine_poses
from surfhead_video.tracking import POINTS, Settings, as_detections, keep
from surfhead_video.windows import fit_clip

from surfhead.core.api import create
from surfhead.runs.measure import evaluate_run
from surfhead.runs.train import train

NAMES = ("own", "tracked", "landmarks", "true pose", "true expression", "true identity", "true")


def variants(landmarks: Fit, tracked: Fit, true: Fit) -> dict[str, Fit]:
    """What is trained with, by its name in ``NAMES``."""
    pose = {"rotation": true.rotation, "translation": true.translation, "focal": true.focal}
    return {
        "own": tracked,
        "tracked": tracked,
        "landmarks": landmarks,
        "true pose": replace(tracked, **pose),
        "true expression": replace(tracked, expression=true.expression, gaze=true.gaze),
        "true identity": replace(tracked, shape=true.shape),
        "true": true,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("head", "model", "clips", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--people", type=int, nargs="+", default=[101, 102, 103])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--iterations", type=int, default=30_000)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--of", nargs="+", choices=NAMES, default=["tracked", "true"], help="what to train with"
    )
    parser.add_argument("--appearance", help="and degree 0, instead of the preset's")
    options = parser.parse_args()
    rig = make_rig(options.head)
    places = landmark_places(rig)
    skin = skin_points(rig, places, POINTS)
    print("| clip | parameters | seed | foreground PSNR, dB | SSIM |\n|---|---|---|---|---|")
    for person in options.people:
        clip = Clip(options.clips / f"{person}.mp4")
        with Landmarker(options.model) as landmarker:
            found = chosen(detect(clip.frames(), [landmarker]))
        true = true_fit(dict(np.load(clip.path.with_suffix(".npz"))), found.number)
        detections = as_detections(found, places)
        landmarks = fit_clip(places, detections, Priors())
        tracked = refine_poses(clip.frames, found.number, places, skin, detections, Priors(), landmarks)
        kept = {
            name: keep(
                clip,
                options.out / "cache" / f"{name}-{person}",
                rig,
                places,
                found,
                fit,
                Settings(size=options.size),
                {},
                lambda stage, done, total: None,
            )
            for name, fit in (("true", true), ("own", tracked))
            if name == "true" or name in options.of
        }
        for name, fit in variants(landmarks, tracked, true).items():
            for seed in options.seeds if name in options.of else ():
                pictures = kept["own" if name == "own" else "true"]
                scene = VideoScene(replace(pictures, fit=fit), options.head, (1.0, 1.0, 1.0))
                folder = options.out / f"{person}-{name.replace(' ', '-')}"
                if not folder.exists():
                    folder.mkdir(parents=True)
                    create("dataset", "vhap").write(scene, folder)
                settings = {
                    "iterations": options.iterations,
                    "seed": seed,
                    "hold_out": True,
                    "device": options.device,
                    "initial_colours": "mean",
                    "observers": {"jsonl": {}},
                    "evaluate": {"every": 1.0},
                }
                if options.appearance:
                    settings["appearance"] = {"name": options.appearance, "degree": 0}
                out = options.out / f"run-{folder.name}-{options.appearance or 'preset'}-{seed}"
                run = train(str(folder), preset="monocular", settings=settings, out=out)
                means = evaluate_run(run, splits=("test",), device=options.device)["test"].means
                row = f"{means['foreground_psnr']:.2f} | {means['ssim']:.3f}"
                print(f"| {person} | {name} | {seed} | {row} |", flush=True)


if __name__ == "__main__":
    main()

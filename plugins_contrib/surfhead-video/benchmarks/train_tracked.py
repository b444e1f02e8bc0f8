"""Trains on clips of `synthetic_clips.py` as tracked and with their true parameters, and compares.

    OMP_NUM_THREADS=1 python train_tracked.py ict.safetensors face_landmarker.task CLIPS OUT --people 101

Both are written as ordinary folders, with pictures cut alike and masks made alike (from the outline of the
fitted or the true head), and trained with preset `monocular`, all of it in so many images. The last fifth of
the clip is held out; it is drawn with its own tracked or true parameters.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from measure_tracking import true_fit
from surfhead_video.clip import Clip
from surfhead_video.dataset import Video, VideoScene
from surfhead_video.landmark_places import landmark_places, make_rig
from surfhead_video.landmarker import Landmarker
from surfhead_video.tracking import Settings, chosen, detect, keep

from surfhead.core.api import create
from surfhead.runs.measure import evaluate_run
from surfhead.runs.train import train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("head", "model", "clips", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--people", type=int, nargs="+", default=[101, 102, 103])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--iterations", type=int, default=30_000)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    print("| clip | parameters | foreground PSNR, dB | SSIM |\n|---|---|---|---|")
    for person in options.people:
        path = options.clips / f"{person}.mp4"
        reader = Video(
            Video.Options(
                landmarker=str(options.model),
                head=str(options.head),
                size=options.size,
                cache=str(options.out / "cache"),
            )
        )
        scenes = {"tracked": reader.open(path)}
        with Landmarker(options.model) as landmarker:
            found = chosen(detect(Clip(path).frames(), [landmarker]))
        truth = true_fit(dict(np.load(path.with_suffix(".npz"))), found.number)
        rig = make_rig(options.head)
        true = keep(
            Clip(path),
            options.out / "cache" / f"true-{person}",
            rig,
            landmark_places(rig),
            found,
            truth,
            Settings(size=options.size),
            {},
            lambda stage, done, total: None,
        )
        scenes["true"] = VideoScene(true, options.head, (1.0, 1.0, 1.0))
        for name, scene in scenes.items():
            folder = options.out / f"{person}-{name}"
            folder.mkdir(parents=True, exist_ok=True)
            create("dataset", "vhap").write(scene, folder)
            run = train(
                str(folder),
                preset="monocular",
                settings={
                    "iterations": options.iterations,
                    "hold_out": True,
                    "device": options.device,
                    "initial_colours": "mean",
                    "observers": {"jsonl": {}},
                },
                out=options.out / f"run-{person}-{name}",
            )
            means = evaluate_run(run, splits=("test",), device=options.device)["test"].means
            print(f"| {person} | {name} | {means['foreground_psnr']:.2f} | {means['ssim']:.3f} |", flush=True)


if __name__ == "__main__":
    main()

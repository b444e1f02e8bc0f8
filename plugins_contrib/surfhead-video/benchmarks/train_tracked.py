"""Trains on clips of `synthetic_clips.py` as tracked and with their true parameters, and compares.

    OMP_NUM_THREADS=1 python train_tracked.py ict.safetensors face_landmarker.task CLIPS OUT --people 101

All are written as ordinary folders, with pictures cut and masks made by the true head, and trained with
preset `monocular`, all of it in so many images. The last fifth is held out, and drawn with its own
tracked or true parameters. ``landmarks`` is the fit without the poses from pictures; ``true pose`` is tracked
but for the true rotations, translations and focal length, and so on: what of the gap each part accounts for.
``own`` is cut and masked by the fitted head and has its motion; ``refined``, which a user with a GPU has, is
the same with the motion refined by pixels; ``own masks`` is cut and masked so, and true otherwise. With
``--fit`` two columns more: with the held-out frames' motion fitted to their pictures.

What tracking gives is kept in CLIPS as PERSON.tracked.npy, and taken from there where it is: then neither
MediaPipe nor its model is needed, and the clip may be a folder of pictures, CLIPS/PERSON.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from measure_tracking import true_fit
from surfhead_video.clip import Clip
from surfhead_video.dataset import BEHIND, PLAN, Video, VideoScene
from surfhead_video.detection import Found, chosen, detect
from surfhead_video.fitted_head import Fit
from surfhead_video.head_fit import Priors
from surfhead_video.kept_refinement import make_refined, read_refined
from surfhead_video.landmark_places import landmark_places, make_rig
from surfhead_video.landmarker import Landmarker
from surfhead_video.skin_points import skin_points
from surfhead_video.texture_fit import refine_poses
from surfhead_video.tracking import POINTS, Settings, Tracked, as_detections, keep, read_tracking
from surfhead_video.windows import fit_clip

from surfhead.core.api import create
from surfhead.data.opening import Opened
from surfhead.runs.measure import evaluate_run
from surfhead.runs.train import train

NAMES = (
    "own",
    "refined",
    "tracked",
    "landmarks",
    "true pose",
    "true expression",
    "true identity",
    "own masks",
    "true",
)
COLUMNS = ("clip", "parameters", "seed", "foreground PSNR, dB", "SSIM")
FITTED = ("motion fitted, dB", "SSIM")


@dataclass(frozen=True)
class Person:
    """A clip, and what is known of it: the frames used, the fit by landmarks, the final one, the truth."""

    clip: Clip
    found: Found
    landmarks: Fit
    tracked: Fit
    true: Fit

    def fits(self) -> dict[str, Fit]:
        """What is trained with, by its name in ``NAMES``."""
        tracked, true = self.tracked, self.true
        pose = {"rotation": true.rotation, "translation": true.translation, "focal": true.focal}
        return {
            "own": tracked,
            "refined": tracked,
            "tracked": tracked,
            "landmarks": self.landmarks,
            "true pose": replace(tracked, **pose),
            "true expression": replace(tracked, expression=true.expression, gaze=true.gaze),
            "true identity": replace(tracked, shape=true.shape),
            "own masks": true,
            "true": true,
        }


def known(head: Path, model: Path, clips: Path, person: int) -> Person:
    """A clip tracked, or read from where that is kept."""
    film = clips / f"{person}.mp4"
    clip = Clip(film if film.exists() else clips / str(person))
    kept = clips / f"{person}.tracked.npy"
    if kept.exists():
        found, landmarks, tracked = np.load(kept, allow_pickle=True)
    else:
        rig = make_rig(head)
        places = landmark_places(rig)
        skin = skin_points(rig, places, POINTS)
        with Landmarker(model) as landmarker:
            found = chosen(detect(clip.frames(), [landmarker]))
        detections = as_detections(found, places)
        landmarks = fit_clip(places, detections, Priors())
        tracked = refine_poses(clip.frames, found.number, places, skin, detections, Priors(), landmarks)
        parts = np.empty(3, object)
        parts[:] = found, landmarks, tracked
        np.save(kept, parts, allow_pickle=True)
    truth = dict(np.load(clips / f"{person}.npz"))
    return Person(clip, found, landmarks, tracked, true_fit(truth, found.number))


def pictures(person: Person, head: Path, folder: Path, fit: Fit, size: int) -> Tracked:
    """The frames cut and masked by a head, kept in a folder."""
    kept = read_tracking(folder)
    if kept is not None:
        return kept
    rig = make_rig(head)
    places = landmark_places(rig)
    settings = Settings(size=size)
    return keep(person.clip, folder, rig, places, person.found, fit, settings, {}, lambda *_: None)


def refined(tracked: Tracked, head: Path, device: str) -> Tracked:
    """A clip with its motion refined by pixels, which is kept in its folder."""
    rig = make_rig(head)
    kept = read_refined(tracked, PLAN, rig)
    if kept is not None:
        return kept
    opened = Opened(VideoScene(tracked, head, BEHIND), Video())
    return make_refined(tracked, opened, PLAN, rig, device)


def written(person: Person, name: str, head: Path, out: Path, size: int, device: str = "auto") -> Path:
    """The data set of this name as an ordinary folder below ``out``, unless it is there."""
    folder = out / f"{person.clip.path.stem}-{name.replace(' ', '-')}"
    if folder.exists():
        return folder
    by = "own" if name.startswith(("own", "refined")) else "true"
    cut = person.tracked if by == "own" else person.true
    base = pictures(person, head, out / "cache" / f"{by}-{person.clip.path.stem}", cut, size)
    tracked = replace(base, fit=person.fits()[name])
    scene = VideoScene(refined(tracked, head, device) if name == "refined" else tracked, head, BEHIND)
    unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=out))
    create("dataset", "vhap").write(scene, unfinished)
    try:
        unfinished.rename(folder)
    except OSError:  # somebody else was first
        shutil.rmtree(unfinished)
    return folder


def trained(
    folder: Path, out: Path, seed: int, images: int, device: str, more: dict[str, Any], steps: int
) -> str:
    """Train on a folder and measure, with motion fitted in ``steps`` too if there are any: a row's end."""
    settings = {
        "iterations": images,
        "seed": seed,
        "hold_out": True,
        "device": device,
        "initial_colours": "mean",
        "observers": {"jsonl": {}},
        "evaluate": {"every": 1.0},
        **more,
    }
    run = train(str(folder), preset="monocular", settings=settings, out=out)
    found = evaluate_run(run, splits=("test",), device=device, fit_motion=steps)
    means = [each.means for each in found.values()]
    return " | ".join(f"{each['foreground_psnr']:.2f} | {each['ssim']:.3f}" for each in means)


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
    parser.add_argument(
        "--fit",
        type=int,
        nargs="?",
        const=60,
        default=0,
        metavar="STEPS",
        help="also with held-out motion fitted to the pictures",
    )
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    more = {"appearance": {"name": options.appearance, "degree": 0}} if options.appearance else {}
    columns = [*COLUMNS, *(FITTED if options.fit else ())]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for number in options.people:
        person = known(options.head, options.model, options.clips, number)
        for name in NAMES:
            for seed in options.seeds if name in options.of else ():
                folder = written(person, name, options.head, options.out, options.size, options.device)
                out = options.out / f"run-{folder.name}-{options.appearance or 'preset'}-{seed}"
                row = trained(folder, out, seed, options.iterations, options.device, more, options.fit)
                print(f"| {number} | {name} | {seed} | {row} |", flush=True)


if __name__ == "__main__":
    main()

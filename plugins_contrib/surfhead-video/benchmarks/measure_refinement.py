"""Refines the motion of tracked clips by pixels; compares it with the truth, and trains with it: a table.

    OMP_NUM_THREADS=1 python measure_refinement.py OUT CLIPS OUT/103-own [--images 3000] [--tracked]

The folders are what `train_tracked.py` writes of clips all of whose frames are used; CLIPS has the truth,
PERSON.npz, by the number that the folder's name begins with. Rotations are the skull's, medians over the
frames; the expression's error is the mean of all coefficients; of all frames and of the last fifth, which
training holds out. PSNR is of the foreground of that fifth. Neither MediaPipe nor the film is needed.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from measure_tracking import TRAINED, true_fit
from scipy.spatial.transform import Rotation
from surfhead_video.fitted_head import Fit
from surfhead_video.refinement import Plan, refine_motion
from surfhead_video.rig_motion import RigMotion, fit_with
from torch import Tensor
from train_tracked import trained

from surfhead.core.api import Scene, create
from surfhead.data.opening import open_scene
from surfhead.runs.configuration import configure

HEADER = (
    *("clip", "motion", "rotation °", "apart from a constant °", "expression", "rotation °, last fifth"),
    *("expression, last fifth", "foreground PSNR, dB", "SSIM"),
)


def fit_of(scene: Scene, motion: Mapping[str, Tensor]) -> Fit:
    """The head of a data set of one camera, in a motion."""
    rig = create("rig", scene.rig, scene.rig_options)
    rig.prepare(scene.identity)
    views, empty = scene.views, np.zeros(0)
    focal = float(views.intrinsics[0, 0, 0])
    shape = scene.identity["shape"].double().numpy().reshape(-1)
    given = Fit(focal, shape, empty, empty, empty, empty)
    return fit_with(given, RigMotion(motion, views.camera_from_world[0]), rig)


def errors(fit: Fit, truth: Fit) -> list[float]:
    """Median error of the rotation, the same apart from a constant, degrees; mean error of the expression."""
    off = Rotation.from_matrix(fit.rotation.transpose(0, 2, 1) @ truth.rotation)  # in the head's frame
    apart = (off.mean().inv() * off).magnitude()
    expression = np.abs(fit.expression - truth.expression).mean()
    return [float(np.degrees(np.median(angle))) for angle in (off.magnitude(), apart)] + [float(expression)]


def compared(scene: Scene, motion: Mapping[str, Tensor], truth: dict[str, np.ndarray]) -> str:
    """The row's numbers that need no training; a frame's number is its timestep's name."""
    number = np.array([int(name) for name in scene.timestep_names])
    fit, true = fit_of(scene, motion), true_fit(truth, number)
    late = slice(round(TRAINED * len(number)), None)
    last = errors(fit.part(late), true.part(late))
    values = [*errors(fit, true), last[0], last[2]]
    return " | ".join(f"{value:.3g}" for value in values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("clips", type=Path)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--images", type=int, default=3000, help="of each training; 0: none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--tracked", action="store_true", help="also train with the motion as it was tracked")
    for name, value in vars(Plan()).items():
        parser.add_argument(f"--plan-{name}", type=int, default=value, help="of the refinement")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    plan = Plan(**{name: getattr(options, f"plan_{name}") for name in vars(Plan())})
    print(f"| {' | '.join(HEADER)} |\n|{'---|' * len(HEADER)}")
    for folder in options.folders:
        opened = open_scene(configure(str(folder)))
        scene = opened.scene
        truth = dict(np.load(options.clips / f"{folder.name.split('-')[0]}.npz"))
        refined = refine_motion(opened, plan, options.device)
        written = options.out / f"{folder.name}-refined"
        for name, motion, place in (
            ("tracked", scene.rig_parameters, folder),
            ("refined", refined.motion, written),
        ):
            row = compared(scene, motion, truth)
            if options.images and (name == "refined" or options.tracked):
                if name == "refined":
                    shutil.rmtree(place, ignore_errors=True)
                    scene.rig_parameters = dict(motion)
                    create("dataset", "vhap").write(scene, place)
                run = options.out / f"run-{folder.name}-{name}-{options.seed}"
                row += " | " + trained(place, run, options.seed, options.images, options.device, {}, 0)
            print(f"| {folder.name} | {name} | {row} |", flush=True)
        for stage, (wall, processor) in refined.seconds.items():
            print(f"{folder.name}: {stage} {wall:.1f} s (processor {processor:.1f} s)")
        for number, (before, after) in enumerate(refined.losses, 1):
            print(f"{folder.name}: mean loss, round {number}: {before:.5f} to {after:.5f}", flush=True)


if __name__ == "__main__":
    main()

"""Seconds of training until the held-out camera is drawn as well as wanted: the built-in head, a preset.

    python -m benchmarks.time_to_quality OUT [--goal 34] [--preset quality] [--seeds 0] \\
        [--set max_initial_surfels=120000]

Pictures are drawn and decoded, the avatar is made and the GPU's context exists before the clock runs. A
process has not trained before, so that the first step loads PyTorch's kernels and captures graphs within the
time, as a user's does. The clock stands while held-out views are measured. Prints and writes a Markdown table
of images, seconds and the mean foreground PSNR at every look, and when the goal was reached (interpolated).
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import multiprocessing
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from surfhead.core.options import parse_setting
from surfhead.data.opening import open_scene
from surfhead.measuring.evaluation import evaluate
from surfhead.runs.configuration import configure
from surfhead.runs.folder import environment
from surfhead.runs.layers import merge, nested
from surfhead.runs.train import make_trainer

Look = tuple[int, float, float]  # images, seconds, PSNR in the foreground


def settings(seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """The run's: 802x550, 16 timesteps, two held-out cameras, without looks of its own."""
    data = {"name": "synthetic", "timesteps": options.timesteps, "test_timesteps": 6, "test_cameras": 2}
    tables: dict[str, Any] = {
        "data": {**data, "width": options.width, "height": options.height},
        "iterations": options.images,
        "device": options.device,
        "seed": seed,
        "observers": {"jsonl": {}},
        "evaluate": {"every": 0, "at": []},
        "checkpoint": {"every": 0},
        "baseline": False,
    }
    return merge(tables, nested(parse_setting(text) for text in options.changes))


def train(seed: int, options: argparse.Namespace) -> tuple[int, list[Look]]:
    """One training, in a process of its own: the number of surfels, and its looks."""
    config = configure(preset=options.preset, settings=settings(seed, options))
    opened = open_scene(config)
    folder = options.out / f"run-{seed}"
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    run = make_trainer(config, opened, folder, torch.device(options.device))
    for view in run.order.views:
        run.feed.batch(np.asarray([view]))
    _finish(options.device)
    seconds, looks, due = 0.0, list[Look](), options.first
    while run.images < options.stop:
        began = time.perf_counter()
        while run.images < min(due, options.stop):
            run.step()
        _finish(options.device)
        seconds += time.perf_counter() - began
        found = evaluate(run.avatar, opened.scene, "val", limit=options.views)
        looks.append((run.images, seconds, found.means["foreground_psnr"]))
        due += options.every
    run.feed.close()
    if run._captured is not None:
        run._captured.drop()
    return len(run.avatar.surfels), looks


def _finish(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def reached(looks: list[Look], goal: float) -> float | None:
    """Seconds until the first look at which the goal is reached, by interpolation from the one before."""
    before: Look | None = None
    for look in looks:
        if look[2] >= goal:
            if before is None:
                return look[1]
            share = (goal - before[2]) / (look[2] - before[2])
            return before[1] + share * (look[1] - before[1])
        before = look
    return None


def main() -> None:
    """Train and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--goal", type=float, default=34.0, help="dB in the foreground")
    parser.add_argument("--preset", default="quality")
    parser.add_argument("--set", dest="changes", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--seeds", type=lambda text: [int(s) for s in text.split(",")], default=[0])
    parser.add_argument("--images", type=int, default=30_000, help="the schedule's length")
    parser.add_argument("--first", type=int, default=200, help="images before the first look")
    parser.add_argument("--every", type=int, default=200, help="images between looks")
    parser.add_argument("--stop", type=int, default=2400, help="images after which it ends")
    parser.add_argument("--views", type=int, default=8, help="held-out views measured")
    parser.add_argument("--width", type=int, default=550)
    parser.add_argument("--height", type=int, default=802)
    parser.add_argument("--timesteps", type=int, default=16)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    lines, rows = ["| seed | surfels | images | seconds | foreground PSNR, dB |", "|---" * 5 + "|"], []
    for seed in options.seeds:
        with concurrent.futures.ProcessPoolExecutor(1, context) as one:  # ends with what the training raises
            surfels, looks = one.submit(train, seed, options).result()
        lines += [
            f"| {seed} | {surfels} | {images} | {seconds:.2f} | {psnr:.2f} |"
            for images, seconds, psnr in looks
        ]
        at = reached(looks, options.goal)
        words = "not reached" if at is None else f"{at:.2f} s"
        lines.append(f"| {seed} | {surfels} | | **{words}** | {options.goal:g} |")
        rows.append({"seed": seed, "surfels": surfels, "looks": looks, "reached": at})
    text = f"{environment()['gpu'] or 'CPU'}, {options.preset}\n\n" + "\n".join(lines) + "\n"
    (options.out / "table.md").write_text(text, encoding="utf-8")
    (options.out / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()

"""What moves the picture and the normals: trainings that differ in one thing, several seeds each.

    python -m benchmarks.quality_study OUT VARIANTS.toml [--scene head|ict] [--rig ict.safetensors] \\
        [--images 6000] [--seeds 3] [--first-seed 0] [--workers 3] [--seconds 500] [--sheets NAME,NAME]

Each table of the TOML file is a variant: settings on top of its key "preset" (`paper`), whose schedule scales
with the run, and of the table "common", if there is one; its key "seeds" may ask for fewer. Dotted keys are
settings, such as "regularizers.normal.weight" = 0.01. Views are drawn once. OUT gets rows.jsonl (a line a
training), table.md, and pictures and the run folder of the named variants' first seed.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from surfhead.avatars.avatar import Avatar
from surfhead.core.config import dump
from surfhead.core.scene import Scene
from surfhead.data.opening import open_scene
from surfhead.drawing.camera_path import orbit
from surfhead.drawing.channels import paint
from surfhead.drawing.pictures import save, to_bytes
from surfhead.measuring.evaluation import evaluate
from surfhead.runs.configuration import configure
from surfhead.runs.folder import CONFIG, environment
from surfhead.runs.layers import merge, nested
from surfhead.runs.train import make_trainer

FIGURES = ("foreground_psnr", "psnr", "ssim", "angular_error", "depth_error_mm")
SPLITS = ("val", "test")


def base(options: argparse.Namespace) -> dict[str, Any]:
    """The settings every variant starts from."""
    data: dict[str, Any] = {
        "name": "synthetic",
        "timesteps": options.timesteps,
        "test_timesteps": 6,
        "test_cameras": 2,
    }
    tables: dict[str, Any] = {
        "iterations": options.images,
        "batch_size": 8,
        "device": options.device,
        "observers": {"jsonl": {}},
        "evaluate": {"every": 0, "at": []},
        "checkpoint": {"every": 0},
        "hold_out": True,
    }
    if options.scene == "head":
        data |= {"width": 550, "height": 802}
        tables["surfels_per_triangle"] = options.per_triangle
    else:
        data |= {
            "rig": "ict",
            "rig_options": {"path": str(options.rig)},
            "identity": {"shape": [1.0, 0.0, 0.0]},
        }
        data |= {"width": 512, "height": 512, "detail": 2, "texels": 5}
    tables["data"] = data
    if options.size:
        data |= {"width": options.size, "height": options.size}
    return tables


def train(job: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """One training and its figures."""
    own = nested(job["settings"].items())
    tables = merge(merge(merge(base(options), options.common), own), {"seed": job["seed"]})
    images = tables["iterations"]
    config = configure(preset=job["preset"], settings=tables)
    opened = open_scene(config)
    folder = options.out / "runs" / f"{job['name']}-{job['seed']}"
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    run = make_trainer(config, opened, folder, torch.device(options.device))
    run.feed.prefetch(run.order.views)
    began = time.perf_counter()
    while run.images < run.length:
        run.step()
    if options.device == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    run.avatar.advance(run.images)
    run.finish()
    if job["seed"] == options.first_seed and job["name"] in options.sheets:
        (folder / CONFIG).write_text(dump(config), encoding="utf-8")
        run.save()
    row: dict[str, Any] = {
        "name": job["name"],
        "seed": job["seed"],
        "images": images,
        "seconds": seconds,
        "surfels": len(run.avatar.surfels),
        "reserved_gib": torch.cuda.memory_reserved() / 2**30 if options.device == "cuda" else 0.0,
    }
    sheets = job["seed"] == options.first_seed and job["name"] in options.sheets
    for split in SPLITS:
        target = options.out / f"{job['name']}" if sheets else None
        if target is not None:
            target.mkdir(parents=True, exist_ok=True)
        found = evaluate(run.avatar, opened.scene, split, limit=options.views, folder=target)
        row[split] = {key: found.means[key] for key in FIGURES if key in found.means}
        if target is not None and split == "test":
            first = scene_timestep(opened.scene)
            save(orbit_sheet(run.avatar, first), target / "orbit.png")
    run.feed.close()
    if run._captured is not None:
        run._captured.drop()
    return row


def scene_timestep(scene: Scene) -> int:
    """A timestep of the held-out motion."""
    views = scene.views.of("test")
    return int(scene.views.timestep[views[len(views) // 2]])


@torch.no_grad()
def orbit_sheet(avatar: Avatar, timestep: int, count: int = 8) -> np.ndarray:
    """Colours, normals and how well known, from all round: (H, W, 3) uint8."""
    rows = []
    cameras = orbit(avatar, count, height=440, width=330, turn=360.0).to(avatar.device)
    for channel in ("rgb", "normal", "observed"):
        pictures = [paint(avatar, cameras[index], timestep, [channel])[channel] for index in range(count)]
        rows.append(torch.cat(pictures, dim=1))
    return to_bytes(torch.cat(rows))


def work(options: argparse.Namespace, jobs: Any, done: Any) -> None:
    """A process that trains until nothing is left or time is over."""
    torch.set_num_threads(2)
    while True:
        job = jobs.get()
        if job is None or time.time() > options.ends:
            done.put(None)
            return
        try:
            done.put(train(job, options))
        except Exception as error:  # the study goes on; the row says what failed
            done.put(
                {"name": job["name"], "seed": job["seed"], "error": f"{type(error).__name__}: {error}"[:600]}
            )
        gc.collect()
        torch.cuda.empty_cache()


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a row a variant; means over seeds with the deviation in brackets."""
    titles = ["fg PSNR", "PSNR", "SSIM", "normal °", "depth mm"]
    head = [f"{split} {title}" for split in SPLITS for title in titles]
    lines = [
        "| variant | seeds | surfels | s | GiB | " + " | ".join(head) + " |",
        "|---" * (5 + len(head)) + "|",
    ]
    names = list(dict.fromkeys(row["name"] for row in rows))
    for name in names:
        own = [row for row in rows if row["name"] == name and "error" not in row]
        if not own:
            failed = next(row for row in rows if row["name"] == name)
            lines.append(f"| {name} | failed: {failed['error']} |")
            continue
        cells = []
        for split in SPLITS:
            for key in FIGURES:
                values = [row[split][key] for row in own if key in row[split]]
                digits = 3 if key == "ssim" else 2
                cells.append(f"{np.mean(values):.{digits}f} ({np.std(values):.{digits}f})" if values else "")
        surfels = np.mean([row["surfels"] for row in own])
        seconds = np.mean([row["seconds"] for row in own])
        memory = max(row["reserved_gib"] for row in own)
        start = f"| {name} | {len(own)} | {surfels:.0f} | {seconds:.0f} | {memory:.1f} | "
        lines.append(start + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Train and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("variants", type=Path)
    parser.add_argument("--scene", default="head", choices=("head", "ict"))
    parser.add_argument("--rig", type=Path)
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--timesteps", type=int, default=16)
    parser.add_argument("--per-triangle", type=int, default=1)
    parser.add_argument("--size", type=int, default=0, help="another picture size, square")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--views", type=int, default=16, help="views measured a split")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=500.0, help="start no training later than this")
    parser.add_argument("--sheets", type=lambda text: tuple(text.split(",")), default=())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    options.ends = time.time() + options.seconds
    options.out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    variants = tomllib.loads(options.variants.read_text(encoding="utf-8"))
    options.common = nested(variants.pop("common", {}).items())
    torch.set_num_threads(1)  # a timestep a thread
    open_scene(
        configure(preset="paper", settings=merge(base(options), {"data": options.common.get("data", {})}))
    )
    print(f"views drawn in {time.perf_counter() - began:.0f} s", flush=True)
    context = multiprocessing.get_context("spawn")
    jobs, done = context.Queue(), context.Queue()
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for name, settings in variants.items():
            own = dict(settings)
            if seed >= options.first_seed + own.pop("seeds", options.seeds):
                continue
            jobs.put({"name": name, "seed": seed, "preset": own.pop("preset", "paper"), "settings": own})
    processes = [context.Process(target=work, args=(options, jobs, done)) for _ in range(options.workers)]
    for process in processes:
        jobs.put(None)
        process.start()
    rows: list[dict[str, Any]] = []
    left = len(processes)
    with (options.out / "rows.jsonl").open("w", encoding="utf-8") as file:
        while left:
            row = done.get()
            if row is None:
                left -= 1
                continue
            rows.append(row)
            file.write(json.dumps(row) + "\n")
            file.flush()
    text = f"{environment()['gpu'] or 'CPU'}, {options.scene}, {options.images} images\n\n{table(rows)}\n"
    (options.out / "table.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()

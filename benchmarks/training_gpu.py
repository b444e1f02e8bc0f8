"""Training speed and quality on a GPU: the built-in head with the losses of `paper`, or of another preset.

    python -m benchmarks.training_gpu OUT [--images 30000] [--batches 8,1] [--speed-only] \\
        [--preset quality] [--set appearance.name=lasg]

Prints and writes Markdown tables: images/s by batch size with the kernels that cost most, launches and
synchronisations a step; then a whole training: PSNR, normal error, seconds, peak memory.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from surfhead.core.options import parse_setting
from surfhead.data.opening import open_scene
from surfhead.runs.configuration import configure
from surfhead.runs.folder import environment, run_folder
from surfhead.runs.layers import merge, nested
from surfhead.runs.train import make_trainer
from surfhead.training.monitoring import summary
from surfhead.training.trainer import Trainer

# Published schedule scaled from 300k images to a run's length, as fractions of it.
SCALE = 300_000


def add_scene(parser: argparse.ArgumentParser) -> None:
    """The options that say what is trained."""
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--width", type=int, default=550)
    parser.add_argument("--height", type=int, default=802)
    parser.add_argument("--timesteps", type=int, default=16)
    parser.add_argument("--colours", default="mean", help="initial_colours")
    parser.add_argument("--per-triangle", type=int, default=11)
    parser.add_argument("--preset", default="paper")
    parser.add_argument(
        "--done",
        type=float,
        default=0.6,
        help="part of the schedule that is over when steps are timed; 0: no highlight, harmonics of degree 0",
    )
    parser.add_argument("--set", dest="changes", action="append", default=[], metavar="KEY=VALUE")


def settings(images: int, batch: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """What differs from the preset: densifying scaled to the run, the NeRSemble half size."""
    scaled = images / SCALE
    changes = nested(parse_setting(text) for text in arguments.changes)
    return merge(
        {
            "iterations": images,
            "batch_size": batch,
            "device": arguments.device,
            "surfels_per_triangle": arguments.per_triangle,
            "observers": {"jsonl": {}},
            "baseline": False,
            "initial_colours": arguments.colours,
            "data": {
                "name": "synthetic",
                "width": arguments.width,
                "height": arguments.height,
                "timesteps": arguments.timesteps,
                "test_timesteps": 6,
                "test_cameras": 2,
            },
            "densifier": {
                "start": int(5000 * scaled),
                "stop": int(150_000 * scaled),
                "every": max(1000, int(1000 * scaled)),
                "reset_every": 0,
            },
            "evaluate": {"every": 0, "at": [], "limit": 0},
            "checkpoint": {"every": 0},
        },
        changes,
    )


def make(images: int, batch: int, out: Path, arguments: argparse.Namespace) -> Trainer:
    """A composed trainer."""
    config = configure(preset=arguments.preset, settings=settings(images, batch, arguments))
    opened = open_scene(config)
    with run_folder(out, config):
        return make_trainer(config, opened, out, torch.device(arguments.device))


def settle(run: Trainer, arguments: argparse.Namespace) -> None:
    """Every loss on, and as much of the schedule over as is asked for: its first steps do less than most."""
    run.terms = [type(t)(t.name, t.component, t.weight, 0, 0) for t in run.terms]
    run.images = round(arguments.done * run.length)


def speed(batch: int, out: Path, arguments: argparse.Namespace, kernels: int = 24) -> dict[str, Any]:
    """Images/s with every term on, and a profile of single steps; of its kernels those that cost most."""
    run = make(10_000_000, batch, out / f"speed-{batch}", arguments)
    settle(run, arguments)
    run.feed.prefetch(run.order.views)
    for _ in range(len(run.order.views) // batch + 10):  # every image is decoded once before the clock runs
        run.step()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    steps = max(40, 800 // batch)
    times = []
    for _ in range(3):
        began = time.perf_counter()
        for _ in range(steps):
            run.step()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - began) / steps)
    counted = 10
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
        for _ in range(counted):
            run.step()
        torch.cuda.synchronize()
    rows = found.key_averages()
    calls = {r.key: r.count for r in rows}
    launches = sum(n for k, n in calls.items() if "LaunchKernel" in k)
    waits = sum(n for k, n in calls.items() if "Synchronize" in k) - 1
    copies = sum(n for k, n in calls.items() if k.startswith("cudaMemcpy"))
    busy = [(r.key, r.self_device_time_total / counted / 1000, r.count / counted) for r in rows]
    busy = sorted((b for b in busy if b[1] > 0), key=lambda b: -b[1])
    run.feed.close()
    captured = run._captured
    return {
        "batch": batch,
        "graph": captured is not None and captured.captured,
        "graph_failure": str(captured.failure if captured else None)[:300],
        "surfels": len(run.avatar.surfels),
        "stage": run.avatar.appearance.stage(),
        "step_ms": sorted(times)[1] * 1000,
        "images_per_second": batch / sorted(times)[1],
        "gpu_busy_ms": sum(b[1] for b in busy),
        "launches": launches / counted,
        "synchronisations": waits / counted,
        "copies": copies / counted,
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30,
        "kernels": busy[:kernels],
    }


def quality(batch: int, out: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """A whole training with its figures."""
    folder = out / f"train-{batch}"
    torch.cuda.reset_peak_memory_stats()
    run = make(arguments.images, batch, folder, arguments)
    run.feed.prefetch(run.order.views)
    began = time.perf_counter()
    while run.images < run.length:
        run.step()
    torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    run.run()  # nothing left to train: evaluates and saves
    rows = {(r["label"], r["split"]): r for r in summary(folder)}
    return {
        "batch": batch,
        "images": run.images,
        "surfels": len(run.avatar.surfels),
        "seconds": seconds,
        "images_per_second": run.images / seconds,
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30,
        "figures": {f"{label} {split}": row for (label, split), row in rows.items()},
    }


def main() -> None:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", type=int, default=30_000)
    parser.add_argument("--batches", default="8,1")
    add_scene(parser)
    parser.add_argument("--speed-only", action="store_true")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    batches = [int(b) for b in arguments.batches.split(",")]
    results: dict[str, Any] = {"environment": environment(), "speed": [], "quality": []}
    target = arguments.out / "training_gpu.json"
    for batch in batches:
        results["speed"].append(speed(batch, arguments.out, arguments))
        print(json.dumps({k: v for k, v in results["speed"][-1].items() if k != "kernels"}), flush=True)
        for name, ms, count in results["speed"][-1]["kernels"]:
            print(f"  {ms:8.3f} ms {count:7.1f} x {name[:90]}", flush=True)
        target.write_text(json.dumps(results, indent=1))
    for batch in [] if arguments.speed_only else batches:
        results["quality"].append(quality(batch, arguments.out, arguments))
        print(json.dumps(results["quality"][-1]), flush=True)
        target.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()

"""Training speed on several GPUs: the built-in head with the `paper` preset's losses.

    torchrun --standalone --nproc-per-node 2 benchmarks/training_ranks.py OUT [--each 8,1]

Times one process alone on its GPU first, then all together on batches as many times as large, so that each
draws as many views a step as the one did alone. The first process prints and writes a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks import training_gpu
from surfhead.core.build import open_scene
from surfhead.core.ranks import ALONE, Ranks, joined
from surfhead.core.runfolder import environment
from surfhead.core.runs import configure, make_trainer

ROUNDS = 5


def speed(each: int, ranks: Ranks, device: torch.device, arguments: argparse.Namespace) -> dict[str, Any]:
    """Images/s of ``ranks`` with ``each`` views a process and step; every process measures."""
    settings = training_gpu.settings(10_000_000, each * ranks.count, arguments)
    config = configure(preset="paper", settings={**settings, "device": device.type, "observers": {}})
    run = make_trainer(config, open_scene(config), arguments.out / "run", device, ranks=ranks)
    run.terms = [type(t)(t.name, t.component, t.weight, 0, 0) for t in run.terms]  # every loss from the start
    ranks.spread([value for _, value in run.optimiser.named()])
    run.feed.prefetch(run.order.views)
    for _ in range(2 * len(run.order.views) // config.batch_size + 10):  # by then its images are on the GPU
        run.step()
    steps, times = arguments.steps or max(40, 800 // each), []
    for _ in range(ROUNDS):
        ranks.wait()
        _finish(device)
        began = time.perf_counter()
        for _ in range(steps):
            run.step()
        _finish(device)
        times.append((time.perf_counter() - began) / steps)
    ranks.agree(dict(run.optimiser.named()), "after the benchmark")
    captured = run._captured
    row = {
        "processes": ranks.count,
        "views_each": each,
        "surfels": len(run.avatar.surfels),
        "graph": captured is not None and captured._graph is not None,
        "graph_failure": str(captured.failure if captured else None)[:300],
        "step_ms": sorted(times)[ROUNDS // 2] * 1000,
        "step_ms_range": [min(times) * 1000, max(times) * 1000],
        "images_per_second": config.batch_size / sorted(times)[ROUNDS // 2],
    }
    run.feed.close()
    if captured is not None:
        captured.drop()
    return row


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--each", default="8,1", help="views a process and step")
    parser.add_argument("--steps", type=int, default=0, help="timed at once; 0: as many as take 800 views")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--width", type=int, default=550)
    parser.add_argument("--height", type=int, default=802)
    parser.add_argument("--timesteps", type=int, default=16)
    parser.add_argument("--colours", default="mean", help="initial_colours")
    parser.add_argument("--per-triangle", type=int, default=11)
    arguments = parser.parse_args()
    rows = []
    with joined(arguments.device) as (ranks, device):
        config = configure(preset="paper", settings=training_gpu.settings(1000, ranks.count, arguments))
        with ranks.in_turn():
            open_scene(config)  # draws the data, once
        for each in map(int, arguments.each.split(",")):
            for those in (ALONE, ranks):
                if those is ranks or ranks.first:
                    rows.append(speed(each, those, device, arguments))
                ranks.wait()
        if not ranks.first:
            return
    lines = ["| processes | views each | step, ms (range) | images/s | ratio |", "|---|---|---|---|---|"]
    for row in rows:
        alone = next(r for r in rows if r["processes"] == 1 and r["views_each"] == row["views_each"])
        ratio = row["images_per_second"] / alone["images_per_second"]
        low, high = row["step_ms_range"]
        lines.append(
            f"| {row['processes']} | {row['views_each']} | {row['step_ms']:.2f} ({low:.2f} to {high:.2f}) "
            f"| {row['images_per_second']:.0f} | {ratio:.2f} |"
        )
    print("\n".join(lines), flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    found = {"environment": environment(), "rows": rows, "table": lines}
    (arguments.out / "training_ranks.json").write_text(json.dumps(found, indent=1))
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()

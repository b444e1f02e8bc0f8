"""A training step on a CPU: how long it takes, and where its time goes.

    python -m benchmarks.training_cpu RUN [--steps 60] [--profile] [--against TREE]

Goes on from the newest checkpoint of a run, as `surfhead train --resume` would, and writes nothing. Prints
milliseconds a step: by the clock, and of the processor over all threads (user and system), medians. With
--profile also PyTorch's operations that took most. With --against, another source tree with its own build of
the kernels, both take turns in processes of their own, five rounds; rounds are comparable in pairs only, on a
busy machine those of the processor.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WARM = 8  # steps before those that count


def used() -> float:
    """Seconds of the processor this process has had, all threads, user and system."""
    spent = resource.getrusage(resource.RUSAGE_SELF)
    return spent.ru_utime + spent.ru_stime


def trainer_of(run: Path, steps: int) -> Any:
    """The run's trainer at its newest checkpoint, these steps' views in memory; it writes elsewhere."""
    import torch

    from surfhead.data.opening import open_scene
    from surfhead.runs.run import read_config
    from surfhead.runs.train import make_trainer

    config = read_config(run)
    made = make_trainer(config, open_scene(config), run, torch.device("cpu"), resume=True, quiet=True)
    made.folder = Path(tempfile.mkdtemp())
    left = (made.length - made.images) // made.config.batch_size
    if steps > left:
        raise SystemExit(
            f"{run} is at image {made.images} of {made.length}: {left} steps are left of {steps} wanted. "
            "Give fewer --steps, or a copy of the run without its newest folders in checkpoints."
        )
    made.feed.batch(made.order.peek(steps * made.config.batch_size))  # decoded before anything counts
    return made


def measure(run: Path, steps: int) -> dict[str, Any]:
    """Milliseconds of each step."""
    made = trainer_of(run, WARM + steps)
    for _ in range(WARM):
        made.step()
    walls, processor = [], []
    for _ in range(steps):
        wall, spent = time.perf_counter(), used()
        made.step()
        walls.append(1000 * (time.perf_counter() - wall))
        processor.append(1000 * (used() - spent))
    made.feed.close()
    return {"surfels": len(made.avatar.surfels), "wall": walls, "processor": processor}


def profiled(run: Path, steps: int, rows: int = 60) -> str:
    """PyTorch's table of a step's operations."""
    from torch.profiler import ProfilerActivity, profile, record_function

    made = trainer_of(run, WARM + steps)
    for _ in range(WARM):
        made.step()
    with profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(steps):
            with record_function("step"):
                made.step()
    made.feed.close()
    # a median over the steps: on a busy machine a mean is of whoever was interrupted
    spans = [(e.time_range.start, e.time_range.end) for e in found.events() if e.name == "step"]
    times: dict[str, list[float]] = {}
    counts: dict[str, int] = {}
    for event in found.events():
        within = [i for i, (start, end) in enumerate(spans) if start <= event.time_range.start <= end]
        if within:
            row = times.setdefault(event.name, [0.0] * len(spans))
            row[within[0]] += event.self_cpu_time_total / 1000
            counts[event.name] = counts.get(event.name, 0) + 1
    ordered = sorted(((statistics.median(row), name) for name, row in times.items()), reverse=True)
    return "\n".join(
        f"{milliseconds:8.3f} ms {counts[name] / len(spans):7.1f} x  {name[:80]}"
        for milliseconds, name in ordered[:rows]
    )


def round_of(tree: Path, run: Path, steps: int) -> dict[str, Any]:
    """The measure of another process, which imports surfhead from a tree."""
    program = [
        sys.executable,
        str(Path(__file__).resolve()),
        str(run.resolve()),
        "--steps",
        str(steps),
        "--json",
    ]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(program, cwd=tree, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--against", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.against:
        here = Path(__file__).resolve().parents[1]
        print("| round | tree | wall, ms | processor, ms |\n|---|---|---|---|")
        ratios: dict[str, list[float]] = {"wall": [], "processor": []}
        for number in range(arguments.rounds):
            pair = {}
            for name, tree in (("against", arguments.against), ("this", here)):
                found = round_of(tree.resolve(), arguments.run, arguments.steps)
                pair[name] = {key: statistics.median(found[key]) for key in ratios}
                print(
                    f"| {number + 1} | {name} | {pair[name]['wall']:.1f} | {pair[name]['processor']:.1f} |",
                    flush=True,
                )
            for key, values in ratios.items():
                values.append(pair["this"][key] / pair["against"][key])
        for key, values in ratios.items():
            print(f"{key}: {statistics.median(values):.3f} of what it took")
        return 0
    if arguments.profile:
        print(profiled(arguments.run, arguments.steps))
        return 0
    found = measure(arguments.run, arguments.steps)
    if arguments.json:
        print(json.dumps(found))
        return 0
    for key in ("wall", "processor"):
        low, middle, high = statistics.quantiles(found[key], n=4)
        print(f"{key}: {middle:.1f} ms a step ({low:.1f} to {high:.1f}), {found['surfels']} surfels")
    return 0


if __name__ == "__main__":
    sys.exit(main())

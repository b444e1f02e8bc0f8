"""Peak memory of training steps and of a mesh, against surfels, views a step, picture size and voxel.

    python -m benchmarks.memory OUT [--device cpu] [--quick]

Each line is a process of its own. On a CPU (of Linux) it is the most resident memory during the work beyond
what was there before; on a GPU the most PyTorch had allocated. One thing changes at a time; the built-in head
with every loss of `paper`, three steps. Prints and writes a Markdown table.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from surfhead.data.opening import open_scene
from surfhead.results.mesh_extraction import MeshSettings, canonical_pose, extract_mesh
from surfhead.runs.configuration import configure
from surfhead.runs.folder import run_folder
from surfhead.runs.train import make_trainer

MIB = 2**20
TRAINING = (  # surfels, views a step, pixels of a side
    (10_000, 1, 256),
    (40_000, 1, 256),
    (160_000, 1, 256),
    (40_000, 2, 256),
    (40_000, 4, 256),
    (40_000, 1, 512),
    (40_000, 1, 1024),
)
MESHES = ((40_000, 4.0), (40_000, 2.0), (40_000, 1.0), (160_000, 2.0))  # surfels, voxel in millimetres


def resident(name: str) -> float:
    """VmRSS, what this process has in memory now, or VmHWM, the most it has had; MiB."""
    rows = dict(
        line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line
    )
    return float(rows[name].split()[0]) / 1024


def forget_most() -> None:
    """Begin to count the most anew."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")


def trainer_of(surfels: int, views: int, size: int, out: Path, device: str) -> Any:
    """A trainer with so many surfels from the start."""
    data = {
        "name": "synthetic", "width": size, "height": size, "timesteps": 1, "test_timesteps": 1,
        "test_cameras": 1,
    }  # fmt: skip
    settings: dict[str, Any] = {
        "iterations": 1_000_000, "batch_size": views, "device": device, "data": data, "baseline": False,
        "initial_surfels": surfels, "observers": {"jsonl": {}}, "appearance": {"start": 0, "interval": 0},
        "evaluate": {"every": 0, "at": [], "limit": 0}, "checkpoint": {"every": 0},
    }  # fmt: skip
    config = configure(preset="paper", settings=settings)
    opened = open_scene(config)
    with run_folder(out, config):
        made = make_trainer(config, opened, out, torch.device(device))
    made.terms = [type(t)(t.name, t.component, t.weight, 0, 0) for t in made.terms]
    return made


def measure(row: dict[str, Any], out: Path, device: str) -> dict[str, Any]:
    """One line of the table, in this process."""
    made = trainer_of(row["surfels"], row.get("views", 1), row.get("size", 256), out, device)
    for view in made.order.views[: row.get("views", 1)]:
        made.feed.scene.frame(int(view))  # drawn before the measure begins
    forget_most()
    before = resident("VmRSS")
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    if "voxel" in row:
        pose = canonical_pose(made.avatar)
        extract_mesh(made.avatar, pose, replace(MeshSettings(), voxel=row["voxel"] / 1000))
    else:
        for _ in range(3):
            made.step()
    made.feed.close()
    grown = resident("VmHWM") - before if device == "cpu" else torch.cuda.max_memory_allocated() / MIB
    return {**row, "surfels": len(made.avatar.surfels), "mib": grown, "whole_mib": resident("VmHWM")}


def table(rows: list[dict[str, Any]]) -> str:
    """The lines as Markdown."""
    lines = [
        "| what | surfels | views a step | size | voxel, mm | MiB | process, MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        mesh = "voxel" in row
        views, size = ("", "") if mesh else (row["views"], f"{row['size']}x{row['size']}")
        lines.append(
            f"| {'mesh' if mesh else 'training step'} | {row['surfels']:,} | {views} | {size} | "
            f"{row['voxel'] if mesh else ''} | {row['mib']:.0f} | {row['whole_mib']:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure every line in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true", help="small pictures and few surfels alone")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.row:
        row = json.loads(arguments.row)
        sys.stdout.write(json.dumps(measure(row, arguments.out / "run", arguments.device)))
        return
    rows: list[dict[str, Any]] = [{"surfels": n, "views": v, "size": s} for n, v, s in TRAINING]
    rows += [{"surfels": n, "voxel": voxel} for n, voxel in MESHES]
    if arguments.quick:
        rows = [row for row in rows if row["surfels"] <= 40_000 and row.get("size", 256) <= 512]
    found = []
    for number, row in enumerate(rows):
        command = [sys.executable, "-m", "benchmarks.memory", str(arguments.out / str(number))]
        done = subprocess.run(
            [*command, "--device", arguments.device, "--row", json.dumps(row)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            sys.stderr.write(done.stderr[-2000:])
            continue
        found.append(json.loads(done.stdout.splitlines()[-1]))
        print(json.dumps(found[-1]), flush=True)
        (arguments.out / "memory.md").write_text(table(found) + "\n")
    print(table(found))


if __name__ == "__main__":
    main()

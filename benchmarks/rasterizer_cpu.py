"""Time of the CPU rasterizers on the head scene: python -m benchmarks.rasterizer_cpu

Prints the least wall and processor time of many repeats, pairs a second, the ratio to the reference (both
on one thread), the gain of more threads, and peak memory. Only ratios of one run mean anything: the rounds of
all rows are interleaved, so that whatever else the machine does hits all alike; a busy machine hides the gain
of threads. Float32; all outputs have a gradient, unless a row says "rgb". Pairs: the areas of all visible
footprints in pixels, before any pixel stops.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.head_scene import head_scene
from surfhead import kernels
from surfhead.core.api import Rasterizer, RenderOutput, WorldSurfels
from surfhead.plugins.rasterizers.cpu import Cpu
from surfhead.plugins.rasterizers.reference import Torch

IMAGES = ("rgb", "alpha", "normal", "depth", "median_depth", "distortion")
SIZES = {
    "10k 256x256": (10_000, 256, 256),
    "100k 550x802": (100_000, 802, 550),
    "200k 550x802": (200_000, 802, 550),
}


@dataclass
class Row:
    """One line of the table: what is drawn, by what, on how many threads."""

    size: str
    rasterizer: str
    threads: int
    outputs: tuple[str, ...] = IMAGES
    forward: list[float] = field(default_factory=list)
    both: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)


def make(name: str) -> Rasterizer:
    """The rasterizer called ``name``."""
    return Torch() if name == "torch" else Cpu()


def prepare(row: Row) -> Callable[[], tuple[float, float, float]]:
    """A function that draws once: seconds of forward, of forward and backward, and of the processor."""
    surfels, colour, cameras, pose, background = head_scene(
        SIZES[row.size][0], 1, *SIZES[row.size][1:], device="cpu"
    )
    leaves = [
        t.requires_grad_() for t in (surfels.mean, surfels.tangents, surfels.normal, surfels.opacity, colour)
    ]
    rasterizer = make(row.rasterizer)
    weights: dict[str, torch.Tensor] = {}

    def once() -> tuple[float, float, float]:
        torch.set_num_threads(row.threads)
        began, spent = time.perf_counter(), time.process_time()
        output: RenderOutput = rasterizer(WorldSurfels(*leaves[:4]), leaves[4], cameras, pose, background)
        drawn = time.perf_counter()
        pictures = [getattr(output, name) for name in row.outputs]
        for name, picture in zip(row.outputs, pictures, strict=True):
            weights.setdefault(name, torch.randn(picture.shape))
        spent -= time.process_time()
        resumed, again = time.perf_counter(), time.process_time()
        torch.autograd.grad(pictures, leaves, [weights[name] for name in row.outputs], allow_unused=True)
        both = drawn - began + time.perf_counter() - resumed
        return drawn - began, both, time.process_time() - again - spent

    return once


def pairs(size: str) -> float:
    """Footprint areas of the visible surfels, pixels: the larger of ellipse and disc."""
    surfels, colour, cameras, pose, background = head_scene(SIZES[size][0], 1, *SIZES[size][1:], device="cpu")
    visible = Cpu()(surfels, colour, cameras, pose, background).visible[0]
    view, K = cameras.camera_from_world[0], cameras.intrinsics[0]
    m = surfels.mean[0] @ view[:3, :3].mT + view[:3, 3]
    t = view[:3, :3] @ surfels.tangents[0]
    on_screen = (t[:, :2] - (m[:, :2] / m[:, 2:])[:, :, None] * t[:, 2:]) / m[:, 2, None, None]
    spread = torch.linalg.det(on_screen).abs() * K[0, 0] * K[1, 1]
    reach = 2.0 * (255.0 * surfels.opacity).log().clamp_min(0.0)
    area = math.pi * reach * torch.maximum(spread, torch.tensor(0.5))
    return float(area[visible].sum())


def peak_memory(rasterizer: str, size: str) -> float:
    """MiB that one forward and backward adds to a fresh process, beyond the scene and the libraries."""
    command = [sys.executable, "-m", "benchmarks.rasterizer_cpu", "--memory", rasterizer, size]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def measure_memory(rasterizer: str, size: str) -> float:
    """The same, in this process, which must be fresh."""
    once = prepare(Row(size, rasterizer, torch.get_num_threads()))
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = resident("VmRSS")
    once()
    return resident("VmHWM") - before


def resident(line: str) -> float:
    """A line of Linux's account of this process's memory, MiB."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(text.split()[1]) / 1024.0 for text in status if text.startswith(line))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--memory", nargs=2, metavar=("RASTERIZER", "SIZE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        print(measure_memory(*arguments.memory))
        return
    many = arguments.threads
    small = next(iter(SIZES))
    rows = (
        [Row(small, "torch", 1)]
        + [Row(small, "cpu", threads) for threads in (1, many)]
        + [Row(small, "cpu", many, ("rgb",))]
    )
    for size in [size for size in SIZES if size in arguments.sizes and size != small]:
        rows += [Row(size, "cpu", many), Row(size, "cpu", 1)]
    prepared: list[tuple[Row, Any]] = [(row, prepare(row)) for row in rows]
    for number in range(arguments.rounds + 1):  # the first round warms up and is dropped
        for row, once in prepared:
            if row.rasterizer == "torch" and number > 2:
                continue
            until = time.perf_counter() + (0.5 if number else 0.0)  # repeat what is quick
            while True:
                forward, both, processor = once()
                if number:
                    row.forward.append(forward)
                    row.both.append(both)
                    row.processor.append(processor)
                if time.perf_counter() >= until:
                    break
    torch.set_num_threads(many)
    counted = {size: pairs(size) for size in {row.size for row in rows}}
    table = Table(title="CPU rasterizers, head scene, float32")
    for title in (
        "scene",
        "rasterizer",
        "threads",
        "outputs",
        "forward ms",
        "fwd+bwd ms",
        "processor ms",
        "Mpairs/s",
        "x torch",
        "x 1 thread",
        "peak MiB",
    ):
        table.add_column(title, justify="left" if title in ("scene", "rasterizer", "outputs") else "right")
    reference = min(rows[0].both)
    for row in rows:
        alone = next(
            (r for r in rows if (r.size, r.rasterizer, r.threads) == (row.size, row.rasterizer, 1)), None
        )
        gain = (
            f"{min(alone.both) / min(row.both):.2f}"
            if alone and row.threads > 1 and row.outputs == IMAGES
            else ""
        )
        memory = (
            not arguments.no_memory
            and row.threads == (1 if row.rasterizer == "torch" else many)
            and row.outputs == IMAGES
        )
        table.add_row(
            row.size,
            row.rasterizer,
            str(row.threads),
            "all" if row.outputs == IMAGES else "rgb",
            f"{1e3 * min(row.forward):.1f}",
            f"{1e3 * min(row.both):.1f}",
            f"{1e3 * min(row.processor):.1f}",
            f"{1e-6 * counted[row.size] / min(row.both):.0f}",
            f"{reference / min(row.both):.0f}" if row.size == small and row.threads == 1 else "",
            gain,
            f"{peak_memory(row.rasterizer, row.size):.0f}" if memory else "",
        )
    console = Console(width=130)
    console.print(table)
    described = kernels.cpu.report()
    console.print(
        f"{described['cpu kernels']}; {described['cpu build']} torch {torch.__version__}, "
        f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores"
    )


if __name__ == "__main__":
    main()

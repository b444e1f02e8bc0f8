"""An avatar of the ICT-FaceKit head: data drawn, trained on, measured beside the bare mesh, re-enacted.

    OMP_NUM_THREADS=1 python -m benchmarks.ict_training ict.safetensors OUT \\
        --iterations 30000 --size 512 --cameras 16 --timesteps 48       # on a GPU
    OMP_NUM_THREADS=1 python -m benchmarks.ict_training ICT-FaceKit OUT \\
        --iterations 800 --size 128 --cameras 8 --timesteps 8 --batch 2    # on a CPU, to see that it goes

One thread for tensors, because a process and a thread a core draw and measure beside the training.
The head is the official folder or what `surfhead rig import ict` made of it. One identity is drawn, moving,
by ray casting: its training views, a held-out camera and a held-out motion with stronger expressions. It is
trained with the losses of the preset `paper`, whose schedule is scaled from 300k images to the run's length,
and follows the motion of another identity, which is drawn too. OUT gets table.md (printed as well),
results.json and the pictures; all else goes to a folder that is removed, unless --work names one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

from surfhead.avatars.assembly import make_rig
from surfhead.data.opening import open_scene
from surfhead.measuring.baseline import TriangleBaseline, evaluate_baseline
from surfhead.runs.configuration import configure
from surfhead.runs.folder import environment
from surfhead.runs.run import load_avatar
from surfhead.runs.train import train
from surfhead.training.devices import choose_device
from surfhead.training.monitoring import summary

PUBLISHED = 300_000  # images, for which the preset's schedule is
SUBJECT, DRIVER = [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]  # weights of the first identities
SPLITS = {"val": "held-out camera", "test": "held-out motion"}
BARE = {False: "bare mesh, one colour a triangle", True: "the same, smooth normals"}
FIGURES = {
    "psnr": "PSNR, dB",
    "foreground_psnr": "foreground PSNR, dB",
    "ssim": "SSIM",
    "ncs": "normal cosine",
    "angular_error": "normal error, °",
    "depth_error_mm": "depth error, mm",
}
# The head has 50k triangles, a few pixels each: fewer parts than the coarse built-in head's are fine enough.
FINENESS = {"detail": 2, "texels": 5}


def settings(rig: Path, frames: Path, options: argparse.Namespace) -> dict[str, Any]:
    """What differs from the preset `paper`."""
    length = options.iterations

    def scaled(images: int) -> int:
        return images * length // PUBLISHED

    return {
        "iterations": length,
        "batch_size": options.batch,
        "device": options.device,
        "initial_colours": "mean",
        "observers": {"jsonl": {}},
        "rig": {"train": False},  # the motion is exact
        "data": {
            "name": "synthetic",
            "rig": "ict",
            "rig_options": {"path": str(rig)},
            "identity": {"shape": SUBJECT},
            "width": options.size,
            "height": options.size,
            "cameras": options.cameras,
            "timesteps": options.timesteps,
            "views_per_timestep": min(10, options.cameras - 1),
            "test_timesteps": max(options.timesteps // 4, 1),
            "test_cameras": min(4, options.cameras),
            "cache": str(frames),
            **FINENESS,
        },
        "appearance": {"name": "lasg", "start": length // 12, "interval": max(length // 30, 1)},
        "densifier": {
            "start": max(scaled(5000), 500),  # a run too short for it is not densified
            "stop": scaled(150_000),
            "every": max(length // 30, 1),
            "reset_every": 0,
            "max_surfels": options.surfels,
        },
        "evaluate": {"every": 0, "at": []},
        "checkpoint": {"every": 0},
    }


def bare_mesh(tables: dict[str, Any], folder: Path) -> dict[str, dict[str, Any]]:
    """The figures of the mesh with one mean colour a triangle, by ``what split``."""
    torch.set_num_threads(1)
    config = configure(preset="paper", settings=tables)
    scene = open_scene(config).scene
    rig = make_rig(config.rig, scene.rig, scene.rig_options, scene.identity, torch.device("cpu"))
    found = {}
    for smooth, name in BARE.items():
        bare = TriangleBaseline(scene, rig, smooth=smooth)
        for split in SPLITS:
            result = evaluate_baseline(bare, split, folder=None if smooth else folder)
            found[f"{name} {split}"] = {"views": len(result.rows), **result.means}
    return found


def surfhead(*words: object) -> subprocess.Popen[bytes]:
    """A command line, started; a process with one thread for tensors, since pictures are drawn in many."""
    command = [sys.executable, "-m", "surfhead.cli", *map(str, words)]
    return subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})


def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for a command; ends the program where it failed."""
    if process.wait() != 0:
        sys.exit(f"It failed: {' '.join(map(str, process.args))}")  # type: ignore[arg-type]


class Clock:
    """Seconds of each part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Times its body."""
        began = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - began, 1)
        print(f"{name}: {self.seconds[name]} s", flush=True)


def draw(rig: Path, work: Path, tables: dict[str, Any], options: argparse.Namespace) -> None:
    """Draw the subject's frames, and the driver's data set in the layout of VHAP."""
    count = max(options.timesteps // 2, 2)
    driver = {
        **tables["data"],
        "identity": {"shape": DRIVER},
        "seed": 1,
        "width": min(options.size, 256),
        "height": min(options.size, 256),
        "cameras": 3,
        "timesteps": count,
        "views_per_timestep": 1,
        "test_timesteps": 1,
        "test_cameras": 1,
    }
    drop = {"name", "rig", "rig_options"}
    words = [f"--set=data.{key}={_toml(value)}" for key, value in driver.items() if key not in drop]
    other = surfhead(
        "synth", work / "driver", "--format", "vhap", "--rig", "ict", f"--set=rig.path={rig}", *words
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a timestep a thread
    open_scene(configure(preset="paper", settings=tables))
    torch.set_num_threads(threads)
    finish(other)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {entry}" for name, entry in value.items()) + "}"
    return json.dumps(value)


def table(rows: dict[str, dict[str, Any]]) -> str:
    """Markdown: a row a method and split."""
    shown = {key: title for key, title in FIGURES.items() if any(key in row for row in rows.values())}
    lines = [f"| split | what | views | {' | '.join(shown.values())} |", "|---" * (3 + len(shown)) + "|"]
    for split, name in SPLITS.items():
        for label, row in rows.items():
            what, of = label.rsplit(" ", 1)
            if of == split:
                cells = [f"{row[key]:.3f}" if key in row else "" for key in shown]
                lines.append(f"| {name} | {what} | {row['views']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def measure(rig: Path, work: Path, out: Path, options: argparse.Namespace) -> None:
    """All parts, one after the other; the bare mesh is measured beside the training."""
    clock = Clock()
    source = rig
    if rig.suffix != ".safetensors":
        rig = work / "ict.safetensors"
        with clock.part("importing the rig"):
            finish(surfhead("rig", "import", "ict", source, rig))
    rig = rig.resolve()
    tables = settings(rig, work / "frames", options)
    with clock.part("drawing"):
        draw(rig, work, tables, options)
    run, bare = work / "run", work / "bare"
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as aside:
        measured = aside.submit(bare_mesh, tables, bare)
        with clock.part("training and its evaluation"):
            train(preset="paper", settings=tables, out=run)
        with clock.part("waiting for the bare mesh's figures"):
            rows = measured.result()
    for row in summary(run):
        figures = {key: value for key, value in row.items() if key not in ("label", "split")}
        rows[f"after {row['label']} images {row['split']}"] = figures
    with clock.part("re-enactment"):
        # A camera of the training: what none saw, such as shoulders, stays out.
        middle = (options.cameras - 1) // 2
        words = ("--no-video", "--sheet", 6, "--camera", middle, "--device", options.device)
        finish(surfhead("reenact", run, "--driver", work / "driver", "--out", work / "other", *words))
    avatar = load_avatar(run, device=options.device)
    results = {
        "environment": environment(),
        "cores": os.cpu_count(),
        "settings": {**tables, "data": {**tables["data"], "rig_options": {"path": rig.name}, "cache": ""}},
        "triangles": len(avatar.rig.rest().topology.triangles),
        "surfels": len(avatar.surfels),
        "seconds": clock.seconds,
        "rows": rows,
    }
    (out / "results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    text = table(rows)
    (out / "table.md").write_text(text + "\n", encoding="utf-8")
    found = {"reenactment": work / "other" / "sheet.png"}
    for split in SPLITS:
        found[split] = run / "eval" / f"{options.iterations:08d}" / f"{split}.png"
    found["bare-val"] = bare / "val.png"
    for name, path in found.items():
        shutil.copy(path, out / f"{name}.png")
    where = environment()["gpu"] or "no GPU"
    print(f"{results['surfels']} surfels on {results['triangles']} triangles, {where}")
    print(text)


def main() -> None:
    """Measure, and write tables and pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("head", type=Path, help="official folder, or an imported .safetensors file")
    parser.add_argument("out", type=Path)
    parser.add_argument("--iterations", type=int, default=30_000, help="training images")
    parser.add_argument("--size", type=int, default=512, help="pixels a side")
    parser.add_argument("--cameras", type=int, default=16)
    parser.add_argument("--timesteps", type=int, default=48, help="of the training motion")
    parser.add_argument("--batch", type=int, default=8, help="views a step")
    parser.add_argument("--surfels", type=int, default=150_000, help="most surfels densifying leads to")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--work", type=Path, help="keep rig, frames and run in this folder")
    options = parser.parse_args()
    options.device = str(choose_device(options.device))
    options.out.mkdir(parents=True, exist_ok=True)
    if options.work is not None:
        options.work.mkdir(parents=True, exist_ok=True)
        measure(options.head, options.work, options.out, options)
        return
    with tempfile.TemporaryDirectory() as name:
        measure(options.head, Path(name), options.out, options)


if __name__ == "__main__":
    main()

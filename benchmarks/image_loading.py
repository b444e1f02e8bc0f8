"""Rate at which training's pictures come, for each cache: disk, ram, gpu.

    python -m benchmarks.image_loading [--cache disk,ram,gpu] [--threads 1,2]

Writes 802 x 550 pictures with masks to a folder (random smooth pictures with some noise, so that the files
are about as large as photographs'), then takes batches of them in random order as training does, twice: the
first round decodes, the second shows what the cache spares. Prints a Markdown table of pictures a second,
processor time a picture, the pictures kept, and what the process's memory grew by. `gpu` needs an NVIDIA GPU.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from surfhead.core.scene import Views
from surfhead.data.feed import Feed, Order
from surfhead.plugins.datasets.images import ImageOptions, Picture, Pictures, PictureScene

WIDTH, HEIGHT = 550, 802
DISTINCT = 8  # different pictures; the files are copies, which decoding does not notice
GIBIBYTE = 1 << 30
NEEDED = 300  # pictures a second that training on a GPU is to reach


def write(folder: Path, count: int) -> list[Picture]:
    """``count`` pictures and masks."""
    generator = np.random.default_rng(0)
    made = []
    for number in range(DISTINCT):
        coarse = generator.integers(0, 256, (26, 18, 3), dtype=np.uint8)
        smooth = np.asarray(Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
        noisy = smooth.astype(np.int16) + generator.integers(-3, 4, smooth.shape)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"i{number}.png")
        row, column = np.mgrid[:HEIGHT, :WIDTH]
        inside = ((row / HEIGHT - 0.5) ** 2 + (column / WIDTH - 0.5) ** 2 < 0.16).astype(np.uint8) * 255
        Image.fromarray(inside).save(folder / f"m{number}.png")
    for number in range(count):
        pair = []
        for kind in "im":
            target = folder / f"{kind}_{number:05d}.png"
            target.write_bytes((folder / f"{kind}{number % DISTINCT}.png").read_bytes())
            pair.append(target)
        made.append(Picture(pair[0], pair[1]))
    return made


def scene_of(files: list[Picture]) -> PictureScene:
    """The pictures as a data set without a rig."""
    count = len(files)
    views = Views(
        np.tile(np.eye(4), (count, 1, 1)),
        np.tile(np.diag([500.0, 500.0, 1.0]), (count, 1, 1)),
        np.zeros(count, np.int64),
        np.arange(count),
        np.full(count, "train"),
        tuple(map(str, range(count))),
        HEIGHT,
        WIDTH,
    )
    pictures = Pictures(files, (WIDTH, HEIGHT), ImageOptions(), (1, 1, 1))
    return PictureScene(pictures, views, rig="none", rig_parameters={})


def resident() -> int:
    """Bytes of this process in memory; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def rounds(feed: Feed, batch: int) -> list[tuple[float, float]]:
    """Pictures a second, and milliseconds of processor time a picture, of two rounds through the data."""
    order = Order(np.arange(len(feed.scene.views)), 0)
    rates = []
    for _ in range(2):
        began, busy, taken = time.perf_counter(), time.process_time(), 0
        while taken + batch <= len(order.views):
            made = feed.batch(order.take(batch))
            feed.prefetch(order.peek(max(2 * batch, batch + feed.workers)))
            taken += len(made.image)
        if feed.device.type == "cuda":
            torch.cuda.synchronize()
        spent = 1000 * (time.process_time() - busy)
        rates.append((taken / (time.perf_counter() - began), spent / taken))
        order.take(len(order.views) - order.position)
    return rates


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--threads", default="0", help="comma-separated; 0: as training does")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--cache", default="", help="disk, ram, gpu; by default all that this machine has")
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    caches = arguments.cache or "disk,ram" + ",gpu" * (device.type == "cuda")
    if "gpu" in caches and device.type != "cuda":
        parser.error("gpu needs a GPU that PyTorch can use")
    with tempfile.TemporaryDirectory() as name:
        files = write(Path(name), arguments.count)
        scene = scene_of(files)
        size = sum(
            part.stat().st_size for file in files[:DISTINCT] for part in (file.image, file.mask) if part
        )
        print(
            f"{arguments.count} pictures of {WIDTH}x{HEIGHT} with masks, {size / DISTINCT / 1e3:.0f} kB; "
            f"batches of {arguments.batch} to {device}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
        )
        print()
        titles = ("cache", "threads", "first round, pictures/s", "processor, ms/picture", "second round")
        print(f"| {' | '.join(titles)} | kept, GiB | process grew, GiB |")
        print("|---" * 7 + "|")
        for threads in map(int, arguments.threads.split(",")):
            for cache in caches.split(","):
                before = resident()
                feed = Feed(scene, device, cache, threads)
                (first, busy), (second, _) = rounds(feed, arguments.batch)
                grown = (resident() - before) / GIBIBYTE
                print(
                    f"| {cache} | {feed.workers} | {first:.0f} | {busy:.1f} | {second:.0f} "
                    f"| {feed.kept / GIBIBYTE:.2f} | {grown:.2f} |",
                    flush=True,
                )
                feed.close()
                del feed
        print(f"\nTraining on a GPU is to take {NEEDED} pictures/s.")


if __name__ == "__main__":
    main()

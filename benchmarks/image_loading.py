"""Rate at which a data set's pictures are decoded: python -m benchmarks.image_loading

Writes a folder of 802 x 550 pictures with masks in VHAP's layout (random smooth pictures with some noise, so
that the PNG files are about as large as photographs'), then reads them in random order with several threads,
twice, for each cache mode. Prints pictures a second of both rounds and the memory that was kept.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from surfhead.plugins.datasets.images import ImageOptions, Picture, Pictures

WIDTH, HEIGHT = 550, 802
DISTINCT = 8  # different pictures; the files are copies, which decoding does not notice
GIBIBYTE = 1 << 30


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


def rate(pictures: Pictures, order: np.ndarray, threads: int) -> float:
    """Pictures a second."""
    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(pictures.frame, order.tolist()):
            pass
    return len(order) / (time.perf_counter() - start)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=4)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        files = write(Path(name), arguments.count)
        order = np.random.default_rng(0).permutation(arguments.count)
        size = sum(
            part.stat().st_size for file in files[:DISTINCT] for part in (file.image, file.mask) if part
        )
        print(
            f"{arguments.count} pictures of {WIDTH}x{HEIGHT} with masks, {size / DISTINCT / 1e3:.0f} kB each,"
        )
        print(f"{arguments.threads} threads")
        print("cache  budget GiB  first round 1/s  second round 1/s  kept GiB")
        for cache, memory in (("disk", 0.0), ("ram", 1.0), ("ram", 8.0)):
            pictures = Pictures(files, (WIDTH, HEIGHT), ImageOptions(cache=cache, memory=memory), (1, 1, 1))
            first = rate(pictures, order, arguments.threads)
            second = rate(pictures, order, arguments.threads)
            kept = pictures.used / GIBIBYTE
            print(f"{cache:<5}  {memory:10.1f}  {first:15.0f}  {second:16.0f}  {kept:8.2f}")


if __name__ == "__main__":
    main()

"""What the viewer costs: pictures a second of a trained head, and what an open page takes from a run.

    python benchmarks/viewer.py                      # a short run of the built-in head is made first
    python benchmarks/viewer.py --run runs/mine      # an own run
    python benchmarks/viewer.py --part training --device cuda --images 400

Needs the extra ``viewer`` but no browser: pages are opened by a client that speaks the viewer's protocol.
"""

from __future__ import annotations

import argparse
import io
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from surfhead.core.registry import create
from surfhead.data.opening import open_scene
from surfhead.runs.configuration import configure
from surfhead.runs.run import load_avatar
from surfhead.runs.train import make_trainer, train
from surfhead.testing.page_client import PageClient
from surfhead.training.devices import choose_device
from surfhead.training.trainer import Trainer
from surfhead.viewing.page import Page
from surfhead.viewing.painter import Painter
from surfhead.viewing.puppet import Stance
from surfhead.viewing.shot import Shot
from surfhead.viewing.viewpoint import start_viewpoint

SIZES = ((256, 256), (512, 512), (550, 802))  # height, width; the last is the papers'
SECONDS = 3.0  # of each measurement
WARMING = 3  # pictures before it


def encoded(pixels: Any, kind: str) -> int:
    """Bytes of a picture as a page gets it."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **({"quality": 80} if kind == "jpeg" else {}))
    return file.tell()


def rate(work: Callable[[int], object]) -> float:
    """Calls a second, after a few to warm up."""
    for index in range(WARMING):
        work(index)
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        work(count)
        count += 1
    return count / (time.perf_counter() - began)


def in_turn(painter: Painter, shots: Iterator[Shot], height: int, width: int) -> float:
    """Pictures of a sequence a second, after a few to warm up."""
    count, began = 0, time.perf_counter()
    for count, _ in enumerate(painter.pictures(shots, height, width), -WARMING):
        if count == 0:
            began = time.perf_counter()
        if count > 0 and time.perf_counter() - began > SECONDS:
            break
    return count / (time.perf_counter() - began)


def drawing(run: Path, device: str) -> None:
    """Pictures a second, each in another pose, rig and copy to the host included."""
    avatar = load_avatar(run, device=device)
    painter = Painter(avatar)
    shot = Shot(start_viewpoint(avatar)[0])

    def posed(index: int) -> Shot:
        stance = Stance(timestep=index % max(avatar.timesteps, 1), held={("jaw", 0): 0.001 * (index % 100)})
        return replace(shot, stance=stance)

    def picture(index: int, height: int, width: int) -> Any:
        return painter.picture(posed(index), height, width)

    print(f"\n{len(avatar.surfels)} surfels on {avatar.device}, {avatar.rasterizer.name}")
    print("| size | drawn /s | in turn /s | and JPEG /s | and PNG /s | JPEG kB |\n|---|---|---|---|---|---|")
    for height, width in SIZES:
        plain = rate(lambda index: picture(index, height, width))  # noqa: B023
        turns = in_turn(painter, map(posed, itertools.count()), height, width)
        jpeg = rate(lambda index: encoded(picture(index, height, width), "jpeg"))  # noqa: B023
        png = rate(lambda index: encoded(picture(index, height, width), "png"))  # noqa: B023
        size = encoded(picture(0, height, width), "jpeg") / 1000
        print(f"| {width} x {height} | {plain:.1f} | {turns:.1f} | {jpeg:.1f} | {png:.1f} | {size:.0f} |")


def streaming(run: Path, device: str) -> None:
    """Pictures a second that reach a client while a motion plays."""
    avatar = load_avatar(run, device=device)
    print("\n| page of | pictures /s at the client | their size while moving |\n|---|---|---|")
    for height, width in SIZES:
        for moving, words in ((None, "adapted to 0.1 s"), (1e9, "full")):
            page = Page(avatar, port=0, size=max(height, width), rate=1000.0)
            page.moving_seconds = page.moving_seconds if moving is None else moving
            page.run()
            client = PageClient(page.url, page.start, height, width)
            client.rest()
            client.click("Play")
            time.sleep(1.0)
            count, began = len(client.pictures), time.perf_counter()
            time.sleep(SECONDS)
            shown = (len(client.pictures) - count) / (time.perf_counter() - began)
            seen = client.picture().shape
            print(f"| {width} x {height} | {shown:.1f} | {seen[1]} x {seen[0]} ({words}) |")
            client.close()
            page.close()


class Steps:
    """Times steps of a run, with and without the observer."""

    def __init__(self, trainer: Trainer, images: int) -> None:
        self.trainer = trainer
        self.images = images

    def timed(self, observer: Any = None) -> float:
        """Images a second."""
        trainer = self.trainer
        if trainer.avatar.device.type == "cuda":
            torch.cuda.synchronize()
        before, began = trainer.images, time.perf_counter()
        while trainer.images < before + self.images:
            trainer.step()
            if observer is not None:
                observer.stepped(trainer, trainer.images, trainer.losses)
        if trainer.avatar.device.type == "cuda":
            torch.cuda.synchronize()
        return (trainer.images - before) / (time.perf_counter() - began)


def training(device: str, images: int, rounds: int, batch: int) -> None:
    """Images a second of one run in turn without a page, with a closed, an open and a playing page."""
    settings = {
        "device": device,
        "batch_size": batch,
        "iterations": 10**7,
        "observers": {},
        "densifier": {"start": 10**7, "stop": 10**7},
    }
    config = configure(preset="fast", settings=settings)
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(config, open_scene(config), Path(folder), choose_device(config.device))
        steps = Steps(trainer, images)
        steps.timed()  # pictures are decoded, kernels are built
        found: dict[str, list[float]] = {}
        for _ in range(rounds):
            found.setdefault("no viewer", []).append(steps.timed())
            observer = create("observer", "viewer", {"port": 0})
            observer.run_started(trainer)
            found.setdefault("viewer, no page open", []).append(steps.timed(observer))
            client = PageClient(observer.page.url, observer.page.start, 550, 802)
            while not observer.page.visitors:
                observer.page.streamer.answer()
                time.sleep(0.01)
            found.setdefault("a page open, at rest", []).append(steps.timed(observer))
            shown = observer.page.streamer.streamed.pictures
            client.click("Play")
            found.setdefault("a page open, playing", []).append(steps.timed(observer))
            played = observer.page.streamer.streamed.pictures - shown
            client.close()
            observer.run_finished(trainer, None)
        views = trainer.scene.views
        size = f"pictures {views.width} x {views.height}, batch {batch}"
        print(f"\n{len(trainer.avatar.surfels)} surfels, {size}, {trainer.avatar.device}")
        print(f"Medians of {rounds} rounds of {images} images; in the last, the page got {shown} pictures")
        print(f"at rest and {played} while it played.")
        trainer.feed.close()
    plain = statistics.median(found["no viewer"])
    print("| | images /s | slower by | all rounds |\n|---|---|---|---|")
    for name, values in found.items():
        middle = statistics.median(values)
        rows = ", ".join(f"{value:.1f}" for value in values)
        print(f"| {name} | {middle:.1f} | {100 * (1 - middle / plain):.1f} % | {rows} |")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--part", choices=("drawing", "streaming", "training", "all"), default="all")
    parser.add_argument("--images", type=int, default=60, help="training images of a measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=1)
    given = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    if torch.cuda.is_available() and given.device != "cpu":
        print(torch.cuda.get_device_name())
    with tempfile.TemporaryDirectory() as folder:
        run = given.run
        if run is None and given.part != "training":
            run = train(
                preset="tiny", settings={"device": given.device}, out=Path(folder) / "run", quiet=True
            )
        if given.part in ("drawing", "all"):
            drawing(run, given.device)
        if given.part in ("streaming", "all"):
            streaming(run, given.device)
        if given.part in ("training", "all"):
            training(given.device, given.images, given.rounds, given.batch)


if __name__ == "__main__":
    main()

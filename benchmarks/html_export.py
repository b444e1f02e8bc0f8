"""Exported web pages in a headless browser: file size, agreement with the rasterizer, frames a second.

    python benchmarks/html_export.py RUN [RUN ...] [--browser /usr/bin/chromium]

Needs playwright and a Chromium. The browser draws WebGL in software, so a frame costs what it costs a machine
without a GPU. Agreement: PSNR of the page's picture against the project's rasterizer at eight cameras around
the head and timesteps spread over the motion, 512 x 512.
"""

from __future__ import annotations

import argparse
import base64
import io
import math
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from surfhead.avatars.avatar import Avatar
from surfhead.core.registry import create
from surfhead.core.types import Cameras
from surfhead.drawing import pictures
from surfhead.runs.run import load_avatar

SOFTWARE = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
SIDE = 512  # pixels
SIZES = (256, 512)
VIEWS = 8
FRAMES = 15
SCRIPTED = "surfhead.ready.then(() => true)"


def around(home: dict[str, Any], yaw: float, pitch: float, side: int) -> Cameras:
    """A camera at the page's own distance, turned by yaw and pitch (radians) from its first view."""
    target, front, up = (torch.tensor(home[name], dtype=torch.float64) for name in ("target", "front", "up"))
    across = torch.linalg.cross(up, front)
    outward = (front * math.cos(yaw) + across * math.sin(yaw)) * math.cos(pitch) + up * math.sin(pitch)
    forward = -outward / outward.norm()
    right = torch.nn.functional.normalize(torch.linalg.cross(forward, up), dim=0)
    rotation = torch.stack([right, torch.linalg.cross(forward, right), forward])
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, :3] = rotation
    pose[:3, 3] = -rotation @ (target - forward * home["distance"])
    focal = 0.5 * side / math.tan(math.radians(home["field_of_view"]) / 2)
    intrinsics = torch.tensor([[focal, 0, side / 2], [0, focal, side / 2], [0, 0, 1]])
    return Cameras(pose[None].float(), intrinsics[None].float(), side, side)


def look(tab: Any, camera: Cameras) -> None:
    """Draw the page from this camera."""
    matrices = (camera.camera_from_world[0].tolist(), camera.intrinsics[0].tolist())
    tab.evaluate("(given) => surfhead.setView(...given)", [*matrices, camera.width, camera.height])


def agreement(tab: Any, avatar: Avatar) -> list[float]:
    """PSNR of the page's picture against the rasterizer's, dB, view by view."""
    home, timesteps = tab.evaluate("surfhead.head.home"), max(avatar.timesteps, 1)
    found = []
    for view in range(VIEWS):
        camera = around(home, 2 * math.pi * view / VIEWS, 0.3 * math.sin(view), SIDE)
        timestep = view * (timesteps - 1) // (VIEWS - 1)
        tab.evaluate("(step) => surfhead.setPose(step)", timestep)
        look(tab, camera)
        png = base64.b64decode(tab.evaluate("surfhead.picture()").partition(",")[2])
        page = np.array(Image.open(io.BytesIO(png)).convert("RGB")).astype(float)
        ours = pictures.to_bytes(avatar.render(camera, timestep).output.rgb[0])
        found.append(-10 * math.log10(np.square((page - ours) / 255).mean() + 1e-12))
    return found


def speeds(tab: Any) -> list[str]:
    """Milliseconds for rig and deformer, then frames a second by picture size, all changing every frame."""
    cells = []
    for side in SIZES:
        look(tab, around(tab.evaluate("surfhead.head.home"), 0.0, 0.0, side))
        tab.evaluate("surfhead.measure(3)")
        spent = tab.evaluate("(frames) => surfhead.measure(frames)", FRAMES)
        if not cells:
            cells.append(f"{1000 * (spent['rig'] + spent['deform']):.1f}")
        cells.append(f"{1 / sum(spent.values()):.1f}")
    return cells


def row(browser: Any, run: Path, motion: str, folder: Path) -> str:
    """One line of the table."""
    avatar = load_avatar(run, device="cpu")
    (file,) = create("format", "html", {"motion": motion}).write(avatar, folder / "page.html")
    tab = browser.new_page(viewport={"width": SIDE + 250, "height": SIDE})
    start = time.perf_counter()
    tab.goto(file.as_uri())
    tab.evaluate(SCRIPTED)
    opened = time.perf_counter() - start
    decibels = agreement(tab, avatar)
    cells = [
        run.name,
        motion,
        f"{tab.evaluate('surfhead.head.surfels.count'):,}",
        str(tab.evaluate("surfhead.head.timesteps")),
        f"{file.stat().st_size / 1e6:.1f}",
        f"{opened:.1f}",
        f"{np.mean(decibels):.1f} ({min(decibels):.1f})",
        *speeds(tab),
    ]
    tab.close()
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--browser", default=shutil.which("chromium"))
    given = parser.parse_args()

    from playwright.sync_api import sync_playwright

    heads = [
        "run",
        "motion",
        "surfels",
        "timesteps",
        "MB",
        "opens in s",
        "PSNR dB, mean (least)",
        "rig, deformer ms",
    ]
    heads += [f"frames/s at {side}" for side in SIZES]
    print("| " + " | ".join(heads) + " |")
    print("|---" * len(heads) + "|")
    with sync_playwright() as driver, tempfile.TemporaryDirectory() as folder:
        browser = driver.chromium.launch(executable_path=given.browser, args=list(SOFTWARE))
        for run in given.runs:
            for motion in ("rig", "baked"):
                print(row(browser, run, motion, Path(folder)), flush=True)
        browser.close()


if __name__ == "__main__":
    main()

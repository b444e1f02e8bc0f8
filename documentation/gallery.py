"""Makes the gallery from what the commands write: `python -m documentation.gallery RUN`.

The pictures of one run (its report's first page, the sheet of a re-enactment by its own motion, the mesh from
three sides, the viewer and the exported page in Chromium) go to docs/images/gallery, and docs/gallery.md is
written. Without RUN only the page is.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from surfhead import cli

DOCS = Path(__file__).resolve().parents[1] / "docs"
OUT = DOCS / "images" / "gallery"
SIDES = (0, 90, 180)  # degrees to the left of the face
PIXELS, REACH = 320, 0.17  # of a picture of the mesh; metres from its middle to the picture's edge
WIDEST = 1000  # pixels of a picture of the gallery
LAMP = np.array([0.4, 0.5, 1.0])  # right, up, towards the viewer
WINDOW = {"width": 1200, "height": 720}
DRAWN = 400_000  # milliseconds in which a page has its picture


class Shown(NamedTuple):
    """A picture of the gallery: file below docs, what it shows, and the words below it."""

    file: str
    alt: str
    words: str


GALLERY = (
    Shown(
        "images/head.png",
        "Truth, render, error, normals and depth of a held-out view",
        "The built-in head on a camera it never saw: `surfhead train`.",
    ),
    Shown(
        "images/gallery/viewer.jpg",
        "The viewer in a browser",
        "The viewer: `surfhead view RUN` ([viewer](viewer.md)).",
    ),
    Shown(
        "images/gallery/page.jpg",
        "The web page that plays an avatar",
        "One file that plays it in any browser: `surfhead export RUN --format html` "
        "([passing an avatar on](guides/export.md)).",
    ),
    Shown(
        "images/gallery/mesh.jpg",
        "A mesh of the avatar from three sides",
        "The mesh, cut at the neck, of 120,000 triangles: `surfhead mesh RUN` ([meshes](guides/meshes.md)).",
    ),
    Shown(
        "images/gallery/reenactment.jpg",
        "The truth above, the avatar below, by one camera",
        "The truth above, the avatar by the same camera below: `surfhead reenact RUN --sheet 5`.",
    ),
    Shown(
        "images/ict-reenactment.png",
        "The ICT-FaceKit head driven by another identity",
        "Above another identity that drives it, below the avatar, whose own identity stays "
        "([re-enactment](guides/reenactment.md)).",
    ),
    Shown(
        "images/gallery/report.jpg",
        "The first page of a run's report",
        "The first page of a run's report: `surfhead report RUN --page page.png`.",
    ),
    Shown(
        "images/relighting.png",
        "One avatar under four lights",
        "Lit anew: `surfhead render RUN --light sunset` ([relighting](relighting.md)).",
    ),
    Shown(
        "images/video-tracking.jpg",
        "A video tracked with the ICT head",
        "A clip of one person, tracked ([your own video](monocular.md)).",
    ),
    Shown(
        "ablation/grid.jpg",
        "Variants of the method side by side",
        "Variants side by side: `surfhead ablate` ([ablations](guides/ablations.md)).",
    ),
)


def page() -> str:
    """The text of docs/gallery.md."""
    head = "# Gallery\n\nEverything here was made by the commands beside it.\n\n"
    foot = (
        "This page and what is in `docs/images/gallery` are made by `python -m documentation.gallery RUN`.\n"
    )
    return head + "".join(f"![{row.alt}]({row.file})\n\n*{row.words}*\n\n" for row in GALLERY) + foot


def command(*words: object) -> None:
    """Run a command in a process of its own; raises CalledProcessError where it fails."""
    subprocess.run([*program(), *map(str, words)], check=True)


def program() -> list[str]:
    """What starts the command line."""
    return [sys.executable, "-m", cli.__name__]


def shaded(mesh: Any, degrees: float) -> np.ndarray:
    """(H, W, 3) uint8: a mesh from one side, grey, ray-cast; reddish where it is seen from inside."""
    turn = np.radians(degrees)
    ahead = -np.array([np.sin(turn), 0.0, np.cos(turn)])
    right, up = np.array([np.cos(turn), 0.0, -np.sin(turn)]), np.array([0.0, 1.0, 0.0])
    across, down = np.meshgrid(*[np.linspace(-REACH, REACH, PIXELS)] * 2)
    eyes = mesh.bounds.mean(axis=0) - ahead + across[..., None] * right - down[..., None] * up
    hit = mesh.ray.intersects_first(eyes.reshape(-1, 3), np.tile(ahead, (PIXELS * PIXELS, 1)))
    normals = mesh.face_normals[np.maximum(hit, 0)]
    lamp = LAMP[0] * right + LAMP[1] * up - LAMP[2] * ahead
    light = np.abs(normals @ lamp) / np.linalg.norm(lamp)
    colours = np.repeat((30 + 210 * light)[:, None], 3, axis=1)
    colours[(normals @ ahead > 0), 1:] *= 0.4
    colours[hit < 0] = 255
    return colours.reshape(PIXELS, PIXELS, 3).clip(0, 255).astype(np.uint8)


def keep(picture: Image.Image, name: str) -> None:
    """Write a picture of the gallery, no wider than ``WIDEST``."""
    OUT.mkdir(parents=True, exist_ok=True)
    picture.thumbnail((WIDEST, 2 * WIDEST), Image.Resampling.LANCZOS)
    picture.convert("RGB").save(OUT / f"{name}.jpg", quality=88, optimize=True)


def exported(tab: Any, made: Path, run: Path) -> None:
    """Open the exported page, at a timestep of its motion."""
    command("export", run, "--format", "html", "--out", made / "avatar.html")
    tab.goto((made / "avatar.html").as_uri() + "#yaw=-25&play=0")
    tab.evaluate("surfhead.ready.then(() => true)")
    slider = tab.locator("#time")
    slider.fill(str(int(slider.get_attribute("max") or 0) * 4 // 5))


def viewed(tab: Any, address: str) -> None:
    """Open the viewer, and close what viser says of software GL."""
    tab.goto(address)
    tab.wait_for_function("document.getElementById('surfhead-words').hidden", timeout=DRAWN)
    for notice in tab.get_by_role("alert").all():
        notice.get_by_role("button").click()


def in_browser(made: Path, run: Path) -> None:
    """Pictures of the exported page and of the viewer."""
    from playwright.sync_api import sync_playwright

    from surfhead.results.first_page import BROWSERS

    server = subprocess.Popen(
        [*program(), "view", str(run), "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        address = next(word for word in server.stdout.readline().split() if word.startswith("http")).rstrip(
            ";"
        )
        with sync_playwright() as driver:
            import shutil

            known = next(filter(None, map(shutil.which, BROWSERS)), None)
            arguments = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
            browser = driver.chromium.launch(executable_path=known, args=arguments)
            opened: dict[str, Callable[[Any], None]] = {
                "page": lambda tab: exported(tab, made, run),
                "viewer": lambda tab: viewed(tab, address),
            }
            for name, open_it in opened.items():
                tab = browser.new_page(viewport=WINDOW, color_scheme="light")
                tab.set_default_timeout(DRAWN)
                open_it(tab)
                tab.wait_for_timeout(5000)  # the picture refines
                tab.screenshot(path=made / f"{name}.png")
                keep(Image.open(made / f"{name}.png"), name)
            browser.close()
    finally:
        server.terminate()
        server.wait()


def pictures(run: Path) -> None:
    """Make the pictures of a run."""
    import trimesh

    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        in_browser(made, run)
        command("mesh", run, "--out", made / "head.ply")
        mesh = trimesh.load(made / "head.ply", force="mesh")
        row = np.concatenate([shaded(mesh, side) for side in SIDES], axis=1)
        keep(Image.fromarray(row), "mesh")
        command("reenact", run, "--no-video", "--sheet", 5, "--out", made / "own")
        keep(Image.open(made / "own" / "sheet.png"), "reenactment")
        words = ("--frames", 0, "--size", 320, "--out", made / "report", "--page", made / "page.png")
        command("report", run, *words)
        keep(Image.open(made / "page.png"), "report")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        pictures(Path(sys.argv[1]))
    (DOCS / "gallery.md").write_text(page(), encoding="utf-8")

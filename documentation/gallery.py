"""Makes the gallery's pictures of a run from what the commands write: `python -m documentation.gallery RUN`.

The report's first page, the sheet of a re-enactment by its own motion, and the mesh from three sides; they go
to docs/images/gallery, where docs/gallery.md shows them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from surfhead import cli

OUT = Path(__file__).resolve().parents[1] / "docs" / "images" / "gallery"
SIDES = (0, 90, 180)  # degrees to the left of the face
PIXELS, REACH = 320, 0.17  # of a picture of the mesh; metres from its middle to the picture's edge
WIDEST = 1000  # pixels of a picture of the gallery
LAMP = np.array([0.4, 0.5, 1.0])  # right, up, towards the viewer


def command(*words: object) -> None:
    """Run a command; raises SystemExit where it fails."""
    code = cli.main([str(word) for word in words])
    if code:
        raise SystemExit(code)


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


def main(run: Path) -> None:
    """Make all of them."""
    import trimesh

    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        command(
            "report", run, "--frames", 0, "--size", 320, "--out", made / "report", "--page", made / "page.png"
        )
        command("reenact", run, "--no-video", "--sheet", 5, "--out", made / "own")
        command("mesh", run, "--out", made / "head.ply")
        keep(Image.open(made / "page.png"), "report")
        keep(Image.open(made / "own" / "sheet.png"), "reenactment")
        mesh = trimesh.load(made / "head.ply", force="mesh")
        row = np.concatenate([shaded(mesh, side) for side in SIDES], axis=1)
        keep(Image.fromarray(row), "mesh")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

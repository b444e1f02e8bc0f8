"""Train an avatar whose light can be changed, draw it under other lamps, and write it for other programs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import surfhead
from surfhead.core.api import create, named_light

LIGHTS = ("studio", "window", "sunset", "stage")


def main(folder: Path, size: int = 256, **settings: Any) -> list[Path]:
    """Train into ``folder``/run; gives the files that were exported."""
    run = surfhead.open_run(surfhead.train(preset="fast", settings=settings, out=folder / "run"))
    avatar = run.avatar()
    camera = surfhead.orbit(avatar, 1, height=size, width=size)

    # the light it learnt, then others; parts are what the colour is made of
    learnt = avatar.render(camera, 0, parts=True)
    row = [learnt.output.rgb, learnt.parts["albedo"], learnt.parts["shading"]]
    for name in LIGHTS:
        avatar.appearance.relight(named_light(name).light().normalised())
        row.append(avatar.render(camera, 0).output.rgb)
    avatar.appearance.relight(None)  # its own again
    picture = torch.cat([shown[0].clamp(0, 1) for shown in row], dim=1).cpu().numpy()
    Image.fromarray((255 * picture).round().astype(np.uint8)).save(folder / "lights.png")

    # a page that plays it in any browser, and the surfels of one pose for viewers of 2D Gaussian splatting
    written = create("format", "html").write(avatar, folder / "avatar.html")
    written += create("format", "2dgs").write(avatar, folder / "point_cloud.ply", timestep=0)
    for file in written:
        print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")
    return list(written)


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("folder", type=Path)
    words.add_argument("--iterations", type=int, default=3500, help="training images")
    given = words.parse_args()
    main(given.folder, iterations=given.iterations)

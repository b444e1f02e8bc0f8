"""Train an avatar of the built-in head, look at it from eight sides, pose it by name, and measure it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import surfhead


def main(folder: Path, size: int = 256, **settings: Any) -> Mapping[str, surfhead.Evaluation]:
    """Train into ``folder``/run and put pictures of ``size`` pixels beside it."""
    run = surfhead.open_run(surfhead.train(preset="fast", settings=settings, out=folder / "run"))
    avatar = run.avatar()
    print(
        f"{len(avatar.surfels)} surfels after {avatar.images} images, {avatar.timesteps} timesteps of motion"
    )

    # eight cameras all round, each showing another timestep: one call draws the batch
    cameras = surfhead.orbit(avatar, 8, height=size, width=size, turn=360.0)
    around = avatar.render(cameras, torch.arange(8) % avatar.timesteps).output
    save(folder / "around.png", around.rgb)
    save(folder / "normals.png", 0.5 - 0.5 * around.normal)

    # names and units of what can be posed; a timestep with the jaw open; the neutral head with expressions
    for name, parameter in avatar.rig.parameters().items():
        print(f"{name} ({parameter.size}): {parameter.description}")
    poses = [
        avatar.pose(),
        avatar.pose(1, jaw=[0.3, 0.0, 0.0]),
        avatar.pose(expression={"smile_left": 0.9, "smile_right": 0.9}),
        avatar.pose(eyes=[0.0, 0.4, 0.0, 0.0, 0.4, 0.0]),
    ]
    save(folder / "poses.png", torch.cat([avatar.render(cameras[0], pose).output.rgb for pose in poses]))

    # figures on a held-out camera and a held-out motion, with the conventions they follow
    found = surfhead.evaluate(run, limit=8, out=folder / "eval")
    for split, result in found.items():
        print(split, {name: round(value, 3) for name, value in result.means.items()})
    return found


def save(path: Path, pictures: torch.Tensor) -> None:
    """Write (B, H, W, 3) pictures side by side."""
    row = torch.cat(list(pictures.clamp(0, 1)), dim=1)
    Image.fromarray((255 * row.cpu().numpy()).round().astype(np.uint8)).save(path)


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("folder", type=Path)
    words.add_argument("--iterations", type=int, default=3500, help="training images")
    given = words.parse_args()
    main(given.folder, iterations=given.iterations)

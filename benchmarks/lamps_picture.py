"""One avatar under the light it was trained in and under others, a white ball beside each showing the light.

surfhead train --preset fast --out runs/lit
python -m benchmarks.lamps_picture runs/lit docs/images/lamps.png --lights window,sunset,stage
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import surfhead
from surfhead.avatars.avatar import Avatar
from surfhead.core.surface import unlit
from surfhead.core.types import Cameras
from surfhead.drawing import pictures
from surfhead.drawing.light_file import read_light
from surfhead.maths.light import Light
from surfhead.runs.run import load_avatar

BALL = 0.09  # of the picture's height: radius
FINE = 4  # points of the ball along a pixel's side
WHITE = 0.55  # of the ball
BACKGROUND = 0.12
MARGIN = 0.03  # of the picture's height


def ball(light: Light, camera: Cameras, radius: int) -> tuple[Tensor, Tensor]:
    """(2r, 2r, 3) colours and (2r, 2r, 1) cover of a white ball under a light, as the camera would see it."""
    side = 2 * radius * FINE
    middle = (torch.arange(side, dtype=torch.float32) + 0.5) / (radius * FINE) - 1.0
    down, right = torch.meshgrid(middle, middle, indexing="ij")
    inside = right.square() + down.square() <= 1.0
    depth = -(1.0 - right.square() - down.square()).clamp_min(0.0).sqrt()
    normal = torch.stack([right, down, depth], dim=-1) @ camera.camera_from_world[0, :3, :3].float().cpu()
    shading = (WHITE * light.shading(normal)).clamp(0.0, 1.0) * inside[..., None]
    cover = inside[..., None].float()

    def coarse(values: Tensor) -> Tensor:
        return values.view(2 * radius, FINE, 2 * radius, FINE, -1).mean(dim=(1, 3))

    return coarse(shading), coarse(cover)


def picture(avatar: Avatar, camera: Cameras, timestep: int, light: Light | None) -> np.ndarray:
    """(H, W, 3) uint8: the avatar under a light (None: its own), and the ball in the lower left corner."""
    avatar.appearance.relight(light)
    pose = avatar.poses(torch.tensor([timestep], device=avatar.device))
    rgb = avatar.render(camera, pose, background=torch.full((3,), BACKGROUND)).output.rgb[0].cpu()
    shown = avatar.appearance.light()
    assert shown is not None
    cpu = Light(shown.coefficients.cpu(), shown.name)
    radius, margin = round(BALL * camera.height), round(MARGIN * camera.height)
    colours, cover = ball(cpu, camera, radius)
    rows = slice(camera.height - margin - 2 * radius, camera.height - margin)
    columns = slice(margin, margin + 2 * radius)
    rgb[rows, columns] = colours + (1.0 - cover) * rgb[rows, columns]
    avatar.appearance.relight(None)
    return pictures.to_bytes(rgb)


def main() -> None:
    """Draw and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--lights", default="window,sunset,stage", help="names or files")
    parser.add_argument("--strength", type=float, default=0.75)
    parser.add_argument("--yaw", type=float, default=20.0, help="degrees of the camera beside the face")
    parser.add_argument("--zoom", type=float, default=1.35, help="about the head's middle")
    parser.add_argument("--timestep", type=int, default=0)
    parser.add_argument("--height", type=int, default=380)
    parser.add_argument("--width", type=int, default=290)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    avatar = load_avatar(given.run, device=given.device)
    if not avatar.appearance.relightable:
        raise unlit(avatar.appearance.name)
    arc = surfhead.orbit(
        avatar, 4, height=given.height, width=given.width, turn=2 * given.yaw, field_of_view=16.0
    )
    camera = arc[1:2]  # a quarter of the swing: its farthest point
    nearer = camera.intrinsics.clone()
    nearer[:, [0, 1], [0, 1]] *= given.zoom
    camera = replace(camera, intrinsics=nearer)
    lights = [None, *(read_light(name).scaled(given.strength) for name in given.lights.split(","))]
    made = [picture(avatar, camera, given.timestep, light) for light in lights]
    pictures.save(np.concatenate(made, axis=1), given.out)


if __name__ == "__main__":
    main()

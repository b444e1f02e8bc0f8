"""The picture that a page shows until its scripts have drawn one."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping
from typing import Any

import torch
from PIL import Image

from surfhead.core.api import Cameras, create
from surfhead.drawing.camera_path import intrinsics_of, look_at
from surfhead.drawing.pictures import to_bytes

SIDE = 448  # pixels
QUALITY = 80  # of WebP


def first_camera(home: Mapping[str, Any], start: Mapping[str, float], side: int) -> Cameras:
    """The page's first view, square.

    Args:
        home: as ``surfhead.plugins.formats.html.avatar.first_view`` gives it.
        start: ``yaw`` and ``pitch`` in degrees, ``zoom``.
        side: pixels.
    """
    target, front, up = (torch.tensor(home[name], dtype=torch.float64) for name in ("target", "front", "up"))
    yaw, pitch = math.radians(start["yaw"]), math.radians(start["pitch"])
    level = front * math.cos(yaw) + torch.linalg.cross(up, front) * math.sin(yaw)
    outward = level * math.cos(pitch) + up * math.sin(pitch)
    eye = target + outward / outward.norm() * home["distance"] / start["zoom"]
    lens = intrinsics_of(home["field_of_view"], side, side)
    return Cameras(look_at(eye[None], target, up).float(), lens[None].float(), side, side)


def poster(avatar: Any, home: Mapping[str, Any], start: Mapping[str, float]) -> str:
    """A ``data:`` address of the first view as WebP; empty for an avatar that cannot be drawn here."""
    if not hasattr(avatar, "drawn_by"):
        return ""
    drawn = avatar.drawn_by(create("rasterizer", "auto", device=avatar.device.type))
    rgb = drawn.render(first_camera(home, start, SIDE), 0 if avatar.timesteps else {}).output.rgb[0]
    file = io.BytesIO()
    Image.fromarray(to_bytes(rgb)).save(file, "WEBP", quality=QUALITY)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode("ascii")

"""Renderings as 8-bit pictures: what each channel looks like, PNG files and MP4 videos."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from surfhead.core.errors import unknown_name
from surfhead.core.types import RenderOutput

CHANNELS = ("rgb", "normal", "depth", "alpha")
VIDEO_QUALITY = 8  # of 10, ffmpeg's variable bit rate


def picture(output: RenderOutput, channel: str, depth_range: tuple[float, float]) -> np.ndarray:
    """One channel of the first view as (H, W, 3) uint8.

    Args:
        output: of one view.
        channel: ``rgb``; ``normal`` with red = right, green = up, blue = towards the camera; ``depth``,
            near is white; ``alpha``.
        depth_range: camera z in metres that is white, and black.

    Raises:
        UnknownNameError: there is no such channel.
    """
    alpha = output.alpha[0]
    if channel == "rgb":
        return to_bytes(output.rgb[0])
    if channel == "normal":
        return to_bytes(normal_colours(output.normal[0]) * alpha[..., None])
    if channel == "depth":
        near, far = depth_range
        depth = output.depth[0]
        grey = ((far - depth) / max(far - near, 1e-9)).clamp(0.0, 1.0) * (alpha > 0.5)
        return to_bytes(grey[..., None].expand(-1, -1, 3))
    if channel == "alpha":
        return to_bytes(alpha[..., None].expand(-1, -1, 3))
    raise unknown_name("channel", channel, CHANNELS, "Choose one of these.")


def normal_colours(normal: Tensor) -> Tensor:
    """(..., 3) camera-space normals (OpenCV axes, any length) as RGB in [0, 1], y up and z to the viewer."""
    unit = torch.nn.functional.normalize(normal, dim=-1)
    towards_viewer = torch.tensor([1.0, -1.0, -1.0], dtype=unit.dtype, device=unit.device)
    return (unit * towards_viewer + 1.0) / 2.0


def depth_limits(output: RenderOutput) -> tuple[float, float] | None:
    """Camera z of what is drawn solidly, a tenth of its depth added at both ends; None if nothing is."""
    drawn = output.depth[output.alpha > 0.5]
    if len(drawn) == 0:
        return None
    near, far = float(drawn.min()), float(drawn.max())
    return near - 0.1 * (far - near), far + 0.1 * (far - near)


def to_bytes(colours: Tensor) -> np.ndarray:
    """Colours in [0, 1], clipped and rounded to uint8."""
    return (colours.detach().clamp(0.0, 1.0) * 255.0).round().to(torch.uint8).cpu().numpy()


def save(pixels: np.ndarray, path: Path) -> None:
    """Write (H, W, 3) uint8 as a PNG file; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@contextmanager
def video(path: Path, height: int, width: int, rate: float) -> Iterator[Callable[[np.ndarray], None]]:
    """An MP4 file (H.264) that takes pictures (H, W, 3) uint8.

    Args:
        path: the file.
        height, width: of every picture; odd sizes get a repeated row or column, which H.264 needs.
        rate: pictures a second.
    """
    import imageio_ffmpeg

    path.parent.mkdir(parents=True, exist_ok=True)
    size = (width + width % 2, height + height % 2)
    writer = imageio_ffmpeg.write_frames(
        str(path), size, fps=rate, quality=VIDEO_QUALITY, macro_block_size=2, ffmpeg_log_level="error"
    )
    writer.send(None)

    def append(pixels: np.ndarray) -> None:
        padded = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        writer.send(np.ascontiguousarray(padded))

    try:
        yield append
    finally:
        writer.close()

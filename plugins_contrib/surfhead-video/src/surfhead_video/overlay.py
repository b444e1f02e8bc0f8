"""The overlay film: what tracking found, drawn over the clip, for a person to look at.

Green: the fitted mesh's edges of some triangles that face the camera. Red: the landmarks detected; blue:
where the fit has them. Below: a bar for every frame, as high as its reprojection error (the line: 3 % of the
eyes' distance), the present one white.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from surfhead.core.api import DataError
from surfhead.files.writing import try_place
from surfhead_video.clip import read_picture
from surfhead_video.fitted_head import projections
from surfhead_video.landmark_places import landmark_places

STRIP = 40  # pixels
FULL = 0.06  # error of the strip's whole height, fraction of the eyes' distance
LIMIT = 0.03
MESH, DETECTED, FITTED = (60, 220, 90), (255, 70, 60), (80, 140, 255)
FILMS = (".mp4", ".mov", ".mkv", ".webm")
VP9: dict[str, Any] = {  # of what a .webm may hold, ffmpeg's build has this
    "codec": "libvpx-vp9",
    "quality": None,
    "output_params": ["-crf", "30", "-b:v", "0", "-deadline", "realtime", "-cpu-used", "5"],
}
EVERY = 5  # of the triangles, one is drawn


class Overlay:
    """Draws over the kept pictures of a tracked clip.

    Args:
        scene: the clip, opened.
        rig: of kind ``ict``.
    """

    def __init__(self, scene: Any, rig: Any) -> None:
        self.scene, self.tracked = scene, scene.tracked
        places = landmark_places(rig)
        whole = self.tracked.whole
        self._fitted = projections(places, self.tracked.fit, *whole)[0]
        self.rig = rig
        rest = rig.prepare(scene.identity)
        regions = rest.topology.regions
        shown = (regions["face"] | regions["back_head"]).nonzero().flatten()[::EVERY]
        self._triangles = rest.topology.triangles[shown].numpy()

    def picture(self, row: int) -> np.ndarray:
        """(H, W, 3) uint8 of a frame, width and height even."""
        tracked = self.tracked
        image = read_picture(tracked.file("frames", row), "RGB")
        width, height = image.width & ~1, image.height & ~1
        made = Image.new("RGB", (width, height + STRIP))
        made.paste(image, (0, 0))
        pen = ImageDraw.Draw(made)
        pixels = self._vertices(row)
        corners = pixels[self._triangles]
        edge = corners[:, 1:] - corners[:, :1]
        front = edge[:, 0, 0] * edge[:, 1, 1] - edge[:, 0, 1] * edge[:, 1, 0] < 0
        for points in corners[front]:
            pen.polygon([tuple(point) for point in points], outline=MESH)
        scale = np.array(tracked.size) / (np.array(tracked.box[2:]) - tracked.box[:2])
        for spots, colour in ((tracked.landmarks[row], DETECTED), (self._fitted[row], FITTED)):
            for x, y in (spots - tracked.box[:2]) * scale:
                pen.ellipse((x - 1, y - 1, x + 1, y + 1), fill=colour)
        self._strip(pen, row, width, height)
        return np.asarray(made)

    def _vertices(self, row: int) -> np.ndarray:
        one = {name: values[row : row + 1] for name, values in self.scene.rig_parameters.items()}
        with torch.no_grad():
            vertices = self.rig(one).vertices[0].double().numpy()
        pose, intrinsics = self.scene.views.camera_from_world[row], self.scene.views.intrinsics[row]
        seen = (vertices @ pose[:3, :3].T + pose[:3, 3]) @ intrinsics.T
        return np.asarray(seen[:, :2] / seen[:, 2:])

    def _strip(self, pen: ImageDraw.ImageDraw, row: int, width: int, height: int) -> None:
        error = self.tracked.error
        count = len(error)
        for at, value in enumerate(error):
            left, right = at * width / count, (at + 1) * width / count
            high = STRIP * min(float(value) / FULL, 1.0)
            colour = (255, 255, 255) if at == row else (200, 90, 60) if value > LIMIT else (90, 120, 160)
            pen.rectangle((left, height + STRIP - high, max(right - 1, left), height + STRIP), fill=colour)
        line = height + STRIP * (1 - LIMIT / FULL)
        pen.line((0, line, width, line), fill=(200, 200, 80))
        number, miss = int(self.tracked.number[row]), 100 * error[row]
        pen.text((4, height + 2), f"frame {number}   error {miss:.2f} %", fill=(255, 255, 255))


def check_film(path: Path, clip: Path) -> None:
    """See, before a clip is tracked, that its film can be written. Raises DataError."""
    if path.suffix.lower() not in FILMS:
        raise DataError(
            f'"{path}" is no name of a film.',
            f"Expected a file that ends in {', '.join(FILMS)}.",
            f"For example: {path.with_suffix('.mp4') if path.name else 'tracked.mp4'}",
        )
    if path.is_dir():
        raise DataError(f'"{path}" is a folder.', "Expected a file, which may exist.", "Choose another name.")
    if path.exists() and clip.exists() and path.samefile(clip):
        raise DataError(f'"{path}" is the clip itself.', "Expected another file.", "Choose another name.")
    try_place(path)


def write_overlay(scene: Any, rig: Any, path: Path) -> int:
    """Write the film; gives the number of the frame with the largest error.

    Args:
        scene: the tracked clip.
        rig: of kind ``ict``.
        path: a file that ends as one of ``FILMS``.

    Raises:
        DataError: ffmpeg breaks off.
    """
    import imageio_ffmpeg

    overlay = Overlay(scene, rig)
    path.parent.mkdir(parents=True, exist_ok=True)
    first = overlay.picture(0)
    size = (first.shape[1], first.shape[0])
    coder: dict[str, Any] = VP9 if path.suffix.lower() == ".webm" else {"quality": 7}
    try:
        writer = imageio_ffmpeg.write_frames(
            str(path), size, fps=scene.rate, macro_block_size=2, ffmpeg_log_level="error", **coder
        )
        writer.send(None)
        try:
            for row in range(len(scene.views)):
                writer.send(np.ascontiguousarray(overlay.picture(row)))
        finally:
            writer.close()
        if not (path.is_file() and path.stat().st_size):
            raise OSError("it wrote nothing")
    except (OSError, RuntimeError) as error:
        raise DataError(
            f'Film "{path}" cannot be written: ffmpeg breaks off.',
            "Expected an ffmpeg that can write it, and room for it; what ffmpeg said is above.",
            "Choose a film that ends in .mp4 in another folder.",
        ) from error
    return int(scene.tracked.number[int(scene.tracked.error.argmax())])

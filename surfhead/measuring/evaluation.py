"""Measures an avatar, or anything else that draws a scene's views, on a split: figures, tables, pictures."""

from __future__ import annotations

import csv
import json
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from surfhead.core.errors import DataError
from surfhead.core.scene import Frame, Scene
from surfhead.data.feed import background_of, cameras_of
from surfhead.drawing.comparison import ComparisonSheet
from surfhead.files.writing import beside, open_text, write_text
from surfhead.maths import metrics
from surfhead.measuring.perceptual import Lpips, load_lpips
from surfhead.terminal.bars import watched
from surfhead.terminal.figure_names import conventions_text, figure_name
from surfhead.terminal.figure_table import FigureTable

if TYPE_CHECKING:
    from surfhead.avatars.avatar import Avatar

log = logging.getLogger("surfhead")

FOREGROUND = 128  # grey level of a mask from which a pixel belongs to the head
SOLID = 0.5  # alpha from which a pixel has a depth worth measuring
SHEET_VIEWS = 4  # views shown in a comparison picture

CONVENTIONS = {
    "psnr": "dB, whole picture, colours clipped to [0, 1], at most 100",
    "l1": "mean absolute colour error, whole picture, colours clipped to [0, 1]",
    "ssim": "whole picture, 11x11 Gaussian of sigma 1.5, zero padding, C1 0.01², C2 0.03²",
    "lpips": "whole picture",
    "foreground_psnr": "dB, pixels of the true mask",
    "foreground_ssim": "mean of the whole picture's SSIM map over the true mask",
    "foreground_lpips": "both pictures blackened outside the true mask",
    "ncs": "mean cosine of rendered and true normals inside the true mask; 0 where nothing was drawn",
    "angular_error": "mean angle of the same normals in degrees; 90 where nothing was drawn",
    "depth_error_mm": f"mean |z - true z| in mm inside the true mask where alpha > {SOLID}",
}
"""What each figure is; all are taken per image, and means are over images."""


@dataclass(frozen=True)
class Drawing:
    """B views as some method draws them.

    Attributes:
        rgb: (B, H, W, 3).
        alpha: (B, H, W) in [0, 1].
        normal: (B, H, W, 3) camera-space normals of any length, 0 where nothing was drawn.
        depth: (B, H, W) camera z, metres, 0 where nothing was drawn.
    """

    rgb: Tensor
    alpha: Tensor
    normal: Tensor
    depth: Tensor


@dataclass(frozen=True)
class Evaluation:
    """Figures of one split.

    Attributes:
        split: its name.
        rows: a mapping a view: ``view``, ``timestep``, ``camera`` and the figures.
        means: figure -> mean over the views that have it.
        conventions: figure -> how it is computed.
        speed: what was drawn how fast: ``images_per_second``, ``height``, ``width``, ``device`` and more.
        seen: these views were trained on.
        notes: what the reader should know, in sentences.
        fitted_steps: steps of the fit of these views' motion to their pictures (``motion_fit``); 0: none.
    """

    split: str
    rows: list[dict[str, Any]]
    means: dict[str, float]
    conventions: dict[str, str]
    speed: dict[str, Any] = field(default_factory=dict)
    seen: bool = False
    notes: tuple[str, ...] = ()
    fitted_steps: int = 0

    def table(self, limit: int = 12, *, explained: bool = True) -> FigureTable:
        """The figures as a table: at most ``limit`` views (0: all), the means, and how they are computed."""
        title = f"{self.split}: {len(self.rows)} views" + (", seen in training" if self.seen else "")
        title += ", motion fitted to their pictures" if self.fitted_steps else ""
        names = {key: figure_name(key) for key in self.means}
        shown = self.rows if limit == 0 else self.rows[:limit]
        rows: list[Sequence[str]] = [
            [str(row["view"]), *(name.text(row.get(key)) for key, name in names.items())] for row in shown
        ]
        if len(shown) < len(self.rows):
            rows.append([f"and {len(self.rows) - len(shown)} more", *([""] * len(names))])
        rows.append(["mean", *(name.text(self.means[key]) for key, name in names.items())])
        caption = [*conventions_text(self.conventions), *self.notes] if explained else []
        headings = [name.stacked for name in names.values()]
        return FigureTable(title, ["view"], headings, rows, strong={len(rows) - 1}, caption=caption)

    def write(self, folder: Path) -> list[Path]:
        """Write ``<split>.json`` and ``<split>.csv``; gives the files."""
        document = {
            "split": self.split,
            "seen": self.seen,
            "views": len(self.rows),
            "means": _finite(self.means),
            "conventions": self.conventions,
            "speed": self.speed,
            "notes": list(self.notes),
            **({"fitted_steps": self.fitted_steps} if self.fitted_steps else {}),
            "rows": [_finite(row) for row in self.rows],
        }
        as_json, as_csv = folder / f"{self.split}.json", folder / f"{self.split}.csv"
        write_text(as_json, json.dumps(document, indent=1, allow_nan=False))
        with beside(as_csv) as temporary, open_text(temporary) as file:
            writer = csv.DictWriter(file, ["view", "timestep", "camera", *self.means], restval="")
            writer.writeheader()
            writer.writerows(self.rows)
            writer.writerow({"view": "mean", **self.means})
        return [as_json, as_csv]


def _finite(row: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: None stands for it."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}


def score_view(
    rgb: Tensor,
    alpha: Tensor,
    normal: Tensor,
    depth: Tensor,
    frame: Frame,
    *,
    lpips: Lpips | None = None,
) -> dict[str, float]:
    """The figures of one drawn view (conventions: ``CONVENTIONS``); those without a truth are left out.

    Args:
        rgb: (H, W, 3) in [0, 1]; clipped here.
        alpha: (H, W) in [0, 1].
        normal: (H, W, 3) camera-space normals of any length.
        depth: (H, W) camera z, metres.
        frame: the truth.
        lpips: the perceptual metric, where there is one.

    Raises:
        DataError: the true picture has another size.
    """
    if frame.image.shape != tuple(rgb.shape):
        raise DataError(
            f"The true picture is {frame.image.shape}, the drawn one {tuple(rgb.shape)}.",
            "Expected one size (height, width, RGB) for a data set's views.",
            "Mend or remove this image.",
        )

    def truth(values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(rgb.device)[None]

    image = rgb.detach().clamp(0.0, 1.0)[None]
    target = truth(frame.image).to(rgb.dtype) / 255.0
    similarity = metrics.ssim_map(image, target)
    found = {
        "psnr": metrics.psnr(image, target),
        "l1": metrics.average((image - target).abs().mean(dim=-1)),
        "ssim": metrics.average(similarity),
    }
    if lpips is not None:
        found["lpips"] = lpips(image, target)
    inside: Tensor | None = None
    if frame.mask is not None:
        inside = truth(frame.mask) >= FOREGROUND
        if bool(inside.any()):
            found["foreground_psnr"] = metrics.psnr(image, target, inside)
            found["foreground_ssim"] = metrics.average(similarity, inside)
            if lpips is not None:
                found["foreground_lpips"] = lpips(image * inside[..., None], target * inside[..., None])
    if frame.normal is not None:
        true_normal = truth(frame.normal).to(normal.dtype)
        known = true_normal.square().sum(dim=-1) > 0
        known = known if inside is None else known & inside
        if bool(known.any()):
            drawn = normal.detach()[None] * (alpha.detach() > 0)[None, ..., None]
            found["ncs"] = metrics.normal_similarity(drawn, true_normal, known)
            found["angular_error"] = metrics.angular_error(drawn, true_normal, known)
    if frame.depth is not None:
        true_depth = truth(frame.depth).to(depth.dtype)
        solid = (true_depth > 0) & (alpha.detach() > SOLID)[None]
        solid = solid if inside is None else solid & inside
        if bool(solid.any()):
            error = (depth.detach()[None] - true_depth).abs()
            found["depth_error_mm"] = 1000.0 * metrics.average(error, solid)
    values = torch.cat([value.double() for value in found.values()]).tolist()
    return dict(zip(found, values, strict=True))


def evaluate_drawings(
    draw: Callable[[np.ndarray], Drawing],
    scene: Scene,
    split: str,
    *,
    limit: int = 0,
    folder: Path | None = None,
    batch_size: int = 1,
    seen: bool = False,
    backbone: str = "alex",
    title: str = "render",
    called: str = "",
) -> Evaluation:
    """Measure whatever draws views.

    Args:
        draw: gives the drawings of some views, by their indices in the scene.
        scene: the truth.
        split: ``train``, ``val``, ``test`` or ``all``.
        limit: at most this many views, evenly spread; 0 means all.
        folder: where a comparison picture ``<called>.png`` goes, if anywhere.
        batch_size: views drawn at once.
        seen: the views were trained on; said in every table.
        backbone: of LPIPS, ``alex`` or ``vgg``.
        title: what the comparison picture calls the drawings.
        called: name of the result and its files; by default the split's.

    Raises:
        UnknownNameError: there is no such split.
        DataError: a view's files are damaged or of another size.
    """
    views = spread(scene.views.of(split), limit)
    lpips = load_lpips(backbone)
    sheet = ComparisonSheet(title)
    shown = set(spread(views, SHEET_VIEWS).tolist()) if folder is not None else set()
    rows: list[dict[str, Any]] = []
    seconds, device = 0.0, torch.device("cpu")
    chunks = [
        group[first : first + batch_size]
        for group in scene.views.by_size(views)
        for first in range(0, len(group), batch_size)
    ]
    for chunk in watched(chunks, f"Measuring {split}", len(chunks)):
        began = time.perf_counter()
        drawing = draw(chunk)
        device = drawing.rgb.device
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds += time.perf_counter() - began
        for place, view in enumerate(chunk.tolist()):
            frame = scene.frame(view)
            one = (drawing.rgb[place], drawing.alpha[place], drawing.normal[place], drawing.depth[place])
            name = scene.views.names[view]
            try:
                figures = score_view(*one, frame, lpips=lpips)
            except DataError as error:
                raise DataError(f'View "{name}": {error.what}', error.exists, error.remedy) from error
            place_and_time = {
                "view": name,
                "timestep": int(scene.views.timestep[view]),
                "camera": int(scene.views.camera[view]),
            }
            rows.append(place_and_time | figures)
            if view in shown:
                sheet.add(name, frame, *one)
    if folder is not None and rows:
        sheet.save(folder / f"{called or split}.png")
    names = [name for name in CONVENTIONS if any(name in row for row in rows)]
    means = {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}
    conventions = {name: CONVENTIONS[name] for name in names}
    if lpips is not None:
        conventions |= {n: f"{conventions[n]}, {lpips.convention}" for n in names if n.endswith("lpips")}
    speed = {
        "images_per_second": len(rows) / seconds if seconds > 0 else 0.0,
        "batch_size": batch_size,
        "height": scene.views.height,
        "width": scene.views.width,
        "device": str(device),
    }
    notes = () if lpips is not None else ("lpips: left out, its package or weights are not on this machine",)
    return Evaluation(called or split, rows, means, conventions, speed, seen, notes)


def evaluate(
    avatar: Avatar,
    scene: Scene,
    split: str,
    *,
    background: Tensor | None = None,
    motion: Mapping[str, Tensor] | None = None,
    limit: int = 0,
    folder: Path | None = None,
    batch_size: int = 1,
    seen: bool = False,
    backbone: str = "alex",
    called: str = "",
) -> Evaluation:
    """Measure an avatar over a split of a scene.

    Args:
        avatar: what to measure.
        scene: the truth.
        split: ``train``, ``val``, ``test`` or ``all``.
        background: (3,) RGB; by default the one the scene's pictures were composited on.
        motion: name -> (T, d) rig parameters of the scene's timesteps; by default the avatar's own,
            which holds for the data it was trained on.
        limit, folder, batch_size, seen, backbone, called: as in ``evaluate_drawings``.
    """
    colour = background_of(scene) if background is None else background

    def draw(views: np.ndarray) -> Drawing:
        cameras = cameras_of(scene, views, avatar.device)
        timesteps = torch.from_numpy(np.ascontiguousarray(scene.views.timestep[views]))
        poses = timesteps if motion is None else {name: rows[timesteps] for name, rows in motion.items()}
        output = avatar.render(cameras, poses, background=colour).output
        return Drawing(output.rgb, output.alpha, output.normal, output.depth)

    if avatar.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(avatar.device)
    found = evaluate_drawings(
        draw,
        scene,
        split,
        limit=limit,
        folder=folder,
        batch_size=batch_size,
        seen=seen,
        backbone=backbone,
        called=called,
    )
    found.speed["surfels"] = len(avatar.surfels)
    if avatar.device.type == "cuda":
        found.speed["peak_memory_bytes"] = torch.cuda.max_memory_allocated(avatar.device)
    return found


def spread(views: Sequence[int] | np.ndarray, limit: int) -> np.ndarray:
    """At most ``limit`` of ``views``, evenly spread and in order; 0 means all."""
    rows = np.asarray(views, dtype=np.int64)
    if limit <= 0 or len(rows) <= limit:
        return rows
    return rows[(np.arange(limit) * len(rows)) // limit]

"""One HTML file about a run: figures, curves, comparison pictures and a turntable, all of it inside.

The page loads nothing from anywhere: pictures and video are data URIs, and its content security policy
forbids the rest.
"""

from __future__ import annotations

import base64
import io
import tempfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import torch
from markupsafe import Markup
from PIL import Image

from surfhead.avatars.avatar import Avatar
from surfhead.core.scene import Scene
from surfhead.drawing import pictures
from surfhead.drawing.colour_maps import normal_colours
from surfhead.drawing.scalars import FULL_ERROR
from surfhead.files.writing import write_text
from surfhead.measuring.evaluation import spread
from surfhead.results.curves import History, read_history, svg
from surfhead.results.report_figures import figures_of
from surfhead.results.report_origin import origin_of
from surfhead.results.shots import along_path, drawn, in_bytes, of_views
from surfhead.results.variants import measure, results
from surfhead.runs.run import Run
from surfhead.terminal.bars import Watch, unwatched
from surfhead.terminal.figure_names import figure_name

SIDES = ("front", "left side", "back", "right side")  # as an orbit of four goes
QUALITY = 95  # of WebP pictures, of 100
FILES = ("config.toml", "command.txt", "environment.json")
SHOWN = ("psnr", "ssim", "lpips", "ncs", "angular_error")  # below a view, and as curves where there are some


def write_report(
    run: Path,
    out: Path | None = None,
    *,
    views: int = 4,
    worst: int = 2,
    frames: int = 72,
    size: int = 640,
    turn: float = 360.0,
    device: str = "auto",
    data: str | None = None,
    watch: Watch = unwatched,
) -> Path:
    """Write the report of a run; gives the file.

    Args:
        run: run folder; what was not measured yet is.
        out: the file; by default report.html in the run.
        views: held-out views with a comparison slider, evenly spread over val and test.
        worst: of those that were measured, how many are shown of the worst.
        frames: of the turntable; 0 leaves it out.
        size: pixels of the turntable, and of the views from all sides.
        turn: degrees it sweeps; 360 goes all round.
        device: where to draw.
        data: where the run's data are now; None: where they were.
        watch: wraps what takes long, to show its progress: (steps, what, how many).

    Raises:
        DataError: it is no run, or has no checkpoint.
    """
    read = Run(run, data)
    config = read.config
    measure(run, device, data)
    scene, avatar = read.scene, read.avatar(device)
    splits = [split for split in ("val", "test", "train") if results(run, split)]
    known = {split: results(run, split) or {} for split in splits}
    history = read_history(run)
    conventions: dict[str, str] = {}
    notes: list[str] = []
    for document in known.values():
        conventions |= document.get("conventions", {})
        notes += [note for note in document.get("notes", []) if note not in notes]
    data = Path(config.path).name if config.path else "the built-in data set"
    page = {
        "title": run.resolve().name,
        "subtitle": f"{avatar.deformer.name} + {avatar.appearance.name} on {data} ({config.data.name})",
        "cards": _cards(avatar, known),
        "full_error": f"{FULL_ERROR:g}",
        "origin": origin_of(run),
        "views": _views(avatar, scene, _spread(scene, known, views), known, watch),
        "worst": _views(avatar, scene, worst_of(scene, known, worst), known, watch),
        "sides": _sides(avatar, size, watch),
        "video": _turntable(avatar, frames, size, turn, watch) if frames else "",
        "tables": [figures_of(run, split, document) for split, document in known.items()],
        "conventions": [(figure_name(key).short, text) for key, text in conventions.items()],
        "notes": notes,
        "curves": _curves(history),
        "files": [
            (name, (run / name).read_text("utf-8", "replace")) for name in FILES if (run / name).is_file()
        ],
    }
    text = (resources.files("surfhead") / "templates" / "report.html").read_text(encoding="utf-8")
    made = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(text)
    target = out or run / "report.html"
    write_text(target, made.render(page))
    return target


def _cards(avatar: Avatar, known: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    cards = [(f"{avatar.images}", "training images"), (f"{len(avatar.surfels)}", "surfels")]
    for split, document in known.items():
        for key in ("psnr", "ssim", "angular_error"):
            value, name = document["means"].get(key), figure_name(key)
            if value is not None:
                cards.append((name.with_unit(value), f"{name.short}, {split}{_seen(document)}"))
    speed = next((d["speed"] for d in known.values() if d.get("speed")), None)
    if speed:
        rate = f"{speed['images_per_second']:.3g}"
        cards.append((rate, f"pictures a second, {speed['width']} x {speed['height']}, {speed['device']}"))
    return cards


def _spread(scene: Scene, known: Mapping[str, Any], count: int) -> np.ndarray:
    """Some of the views that were measured, evenly spread."""
    everything = np.concatenate([scene.views.of(split) for split in known])
    return spread(everything, count) if count else everything[:0]


def worst_of(scene: Scene, known: Mapping[str, Mapping[str, Any]], count: int) -> np.ndarray:
    """The views of the lowest PSNR (of the head where there are masks), the worst first."""
    numbers = {name: number for number, name in enumerate(scene.views.names)}
    found = []
    for document in known.values():
        for row in document.get("rows", []):
            value = row.get("foreground_psnr", row.get("psnr"))
            if value is not None and row.get("view") in numbers:
                found.append((value, numbers[row["view"]]))
    return np.array([number for _, number in sorted(found)[:count]], dtype=np.int64)


def _sides(avatar: Avatar, size: int, watch: Watch) -> list[dict[str, str]]:
    """The avatar from the front, both sides and the back, colours and normals, at the first timestep."""
    shots = along_path(avatar, "orbit", height=size, width=size, frames=len(SIDES), timestep=0, turn=360.0)
    steps = watch(drawn(avatar, shots, ["rgb", "normal"]), "Sides", len(SIDES))
    return [
        {"name": name, **{key: data_uri(pictures.to_bytes(colours)) for key, colours in channels.items()}}
        for name, (_, channels) in zip(SIDES, steps, strict=True)
    ]


def _views(
    avatar: Avatar,
    scene: Scene,
    rows: np.ndarray,
    known: Mapping[str, Mapping[str, Any]],
    watch: Watch,
) -> list[dict[str, str]]:
    if len(rows) == 0:
        return []
    shots = of_views(scene, rows)
    figures = {row["view"]: row for document in known.values() for row in document.get("rows", [])}
    made = []
    steps = watch(drawn(avatar, shots, ["rgb", "normal", "error"]), "Views", len(rows))
    for view, (_, channels) in zip(rows, steps, strict=True):
        name, frame = scene.views.names[view], scene.frame(int(view))
        row = figures.get(name, {})
        shown = [
            f"{figure_name(key).short} {figure_name(key).with_unit(row[key])}"
            for key in SHOWN
            if row.get(key) is not None
        ]
        true_normal = ""
        if frame.normal is not None:
            normal = torch.from_numpy(np.ascontiguousarray(frame.normal)).float()
            there = normal.square().sum(dim=-1, keepdim=True) > 0
            true_normal = data_uri(pictures.to_bytes(normal_colours(normal) * there))
        made.append(
            {
                "name": name,
                "split": str(scene.views.split[view]),
                "truth": data_uri(frame.image),
                "true_normal": true_normal,
                "figures": ", ".join(shown),
                **{key: data_uri(pictures.to_bytes(colours)) for key, colours in channels.items()},
            }
        )
    return made


def _turntable(avatar: Avatar, frames: int, size: int, turn: float, watch: Watch) -> str:
    """A video round the avatar while its motion plays, as a data URI."""
    shots = along_path(avatar, "orbit", height=size, width=size, frames=frames, turn=turn)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "turntable.mp4"
        with pictures.video(path, size, size, shots.rate) as film:
            for _, shown in watch(in_bytes(avatar, shots, ["rgb"]), "Turntable", frames):
                film(shown["rgb"])
        return "data:video/mp4;base64," + base64.b64encode(path.read_bytes()).decode("ascii")


def _curves(history: History) -> list[tuple[str, Markup]]:
    made = [("loss terms, weighted", svg(history.losses, logarithmic=True, label="loss terms"))]
    for name in [*SHOWN, *(other for other in history.metrics if other not in SHOWN)]:
        if name in history.metrics:
            made.append((figure_name(name).heading, svg(history.metrics[name], label=name)))
    made.append(("surfels", svg({"surfels": history.surfels}, label="number of surfels")))
    return [(title, Markup(drawing)) for title, drawing in made if drawing]  # svg() escapes names


def data_uri(pixels: np.ndarray) -> str:
    """(H, W, 3) uint8 as a WebP data URI."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", quality=QUALITY)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _seen(document: Mapping[str, Any]) -> str:
    return " (seen in training)" if document.get("seen") else ""

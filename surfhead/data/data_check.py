"""Looks at a data set before training: does every picture decode, and does the rig lie where the head is?

The rig is posed at each sampled view's timestep and its silhouette, by ray casting, compared with the
foreground mask. Where they disagree, the usual mistakes in camera and mesh conventions are tried in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from surfhead.core.components import Rig
from surfhead.core.errors import SurfheadError
from surfhead.core.scene import SPLITS, Frame, Scene
from surfhead.core.types import Cameras
from surfhead.data.feed import Feed, cameras_of
from surfhead.meshes.meshcaster import MeshCaster

GOOD = 0.5  # IoU from which rig and mask agree: hair and shoulders are in masks, but not in head models
GAIN = 0.15  # rise of the IoU from which a correction is believed
FOREGROUND = 128  # grey level of a mask from which a pixel belongs to the head
TINT = np.array([255.0, 60.0, 0.0])  # colour of the rig's silhouette in overlays


@dataclass(frozen=True)
class Sample:
    """One sampled view.

    Attributes:
        name: of the view.
        overlay: (H, W, 3) uint8, the picture with the rig's silhouette tinted; the picture without a rig.
        iou: intersection over union of silhouette and mask; None without a rig or a mask.
    """

    name: str
    overlay: np.ndarray
    iou: float | None


@dataclass(frozen=True)
class DataReport:
    """What was found.

    Attributes:
        facts: label -> what the data set has.
        samples: the sampled views.
        problems: what is wrong and how to mend it, in sentences; empty when nothing is.
    """

    facts: Mapping[str, str]
    samples: list[Sample]
    problems: list[str]

    @property
    def iou(self) -> float | None:
        """Mean IoU of the samples that have one."""
        values = [s.iou for s in self.samples if s.iou is not None]
        return float(np.mean(values)) if values else None


def check_scene(scene: Scene, rig: Rig | None, limit: int) -> DataReport:
    """Look at a data set.

    Args:
        scene: the opened data set.
        rig: its rig, prepared; None for static scenes.
        limit: views to decode and compare, evenly spread; 0 means all. Whether every view's files are there,
            and whether every timestep has a picture, is looked at in any case; numbers were when it opened.
    """
    count = len(scene.views)
    chosen = np.arange(count)
    if 0 < limit < count:
        chosen = (np.arange(limit) * count) // limit
    absent = _absent(scene)
    problems = [*_gaps(scene), *_told(scene, absent)]
    chosen = chosen[~np.isin(chosen, list(absent))]
    feed = Feed(scene, torch.device("cpu"), "disk")
    feed.close()
    samples, shots = [], []
    for view in chosen.tolist():
        try:
            frame = feed.check(view, scene.frame(view))
        except SurfheadError as error:
            problems.append(" ".join(str(error).splitlines()))
            continue
        silhouette = None if rig is None else _silhouette(scene, rig, view)
        mask = None if frame.mask is None else frame.mask >= FOREGROUND
        iou = None if silhouette is None or mask is None else overlap(silhouette, mask)
        samples.append(Sample(scene.views.names[view], _overlay(frame, silhouette), iou))
        if silhouette is not None:
            shots.append((view, mask, bool(silhouette.any())))
    report = DataReport(_facts(scene, len(samples), len(chosen)), samples, problems)
    if rig is not None and shots:
        problems += _misplaced(scene, rig, report, shots)
    return report


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two boolean pictures; 1 where both are empty."""
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else 1.0


def _absent(scene: Scene) -> dict[int, Path]:
    """The views of which a file is not there or empty, with the first such file."""
    found = {}
    for view in range(len(scene.views)):
        for file in scene.files(view):
            if not file.is_file() or file.stat().st_size == 0:
                found[view] = file
                break
    return found


def _told(scene: Scene, absent: Mapping[int, Path]) -> list[str]:
    """Missing files in one sentence."""
    if not absent:
        return []
    view, file = next(iter(absent.items()))
    of = f"{len(absent)} of {len(scene.views)} views lack a file or have an empty one"
    where = f'the first is view "{scene.views.names[view]}" with "{file}"'
    return [f"{of}; {where}. Restore the files, or remove these frames from the description."]


def _facts(scene: Scene, decoded: int, tried: int) -> dict[str, str]:
    views = scene.views
    count = sum(len(scene.files(view)) for view in range(len(views)))
    splits = ", ".join(f"{len(views.of(name))} {name}" for name in SPLITS)
    points = 0 if scene.points is None else len(scene.points)
    return {
        "views": f"{len(views)} ({splits}) of {views.width}x{views.height}",
        "cameras": str(len(np.unique(views.camera))),
        "timesteps": str(scene.timesteps or len(np.unique(views.timestep))),
        "rig": scene.rig,
        "rig parameters": ", ".join(f"{k} {v.shape[1]}" for k, v in scene.rig_parameters.items()) or "none",
        "initial points": str(points),
        "files": f"{count}, looked for one by one" if count else "none of its own",
        "decoded": f"{decoded} of {tried} sampled views without an error",
    }


def _gaps(scene: Scene) -> list[str]:
    """Empty splits, timesteps nobody sees, and views given twice."""
    views, found = scene.views, []
    if len(views.of("train")) == 0:
        found.append("No view is in the train split; name some in it.")
    unseen = sorted(set(range(scene.timesteps)) - set(views.timestep.tolist()))
    if unseen:
        found.append(
            f"{len(unseen)} timesteps have no picture, the first is {unseen[0]}; add them or drop their rows."
        )
    pairs = np.stack([views.camera, views.timestep], axis=1)
    repeated = len(pairs) - len(np.unique(pairs, axis=0))
    if repeated:
        found.append(f"{repeated} views repeat a camera and a timestep; remove them.")
    return found


def _silhouette(
    scene: Scene,
    rig: Rig,
    view: int,
    change: Callable[[Cameras, Tensor], tuple[Cameras, Tensor]] | None = None,
) -> np.ndarray:
    """(H, W) bool, where the posed rig is seen; ``change`` corrects camera and vertices first."""
    step = int(scene.views.timestep[view])
    with torch.no_grad():
        mesh = rig({name: values[step : step + 1] for name, values in scene.rig_parameters.items()})
    camera, vertices = cameras_of(scene, [view], "cpu"), mesh.vertices[0]
    if change is not None:
        camera, vertices = change(camera, vertices)
    hits = MeshCaster(vertices, mesh.topology.triangles).cast(camera)
    return hits.mask[0].numpy()


def _overlay(frame: Frame, silhouette: np.ndarray | None) -> np.ndarray:
    if silhouette is None:
        return frame.image
    mixed = 0.5 * frame.image + 0.5 * TINT
    return np.where(silhouette[..., None], mixed, frame.image).round().astype(np.uint8)


def _flipped(camera: Cameras, vertices: Tensor) -> tuple[Cameras, Tensor]:
    flip = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    return replace(camera, camera_from_world=flip @ camera.camera_from_world), vertices


def _inverted(camera: Cameras, vertices: Tensor) -> tuple[Cameras, Tensor]:
    return replace(camera, camera_from_world=torch.linalg.inv(camera.camera_from_world)), vertices


def _scaled(factor: float) -> Callable[[Cameras, Tensor], tuple[Cameras, Tensor]]:
    """Camera positions in another unit than the mesh."""

    def change(camera: Cameras, vertices: Tensor) -> tuple[Cameras, Tensor]:
        pose = camera.camera_from_world.clone()
        pose[:, :3, 3] *= factor
        return replace(camera, camera_from_world=pose), vertices

    return change


def _centred(camera: Cameras, vertices: Tensor) -> tuple[Cameras, Tensor]:
    return camera, vertices - vertices.mean(dim=0)


CORRECTIONS: dict[str, Callable[[Cameras, Tensor], tuple[Cameras, Tensor]]] = {
    "The cameras' axes are OpenGL's (y up, z backward): turn y and z of each round.": _flipped,
    "The camera matrices are world-from-camera: invert them.": _inverted,
    "The cameras' positions are 100 times too large for the rig: divide them.": _scaled(0.01),
    "The cameras' positions are 1000 times too large for the rig: divide them.": _scaled(0.001),
    "The cameras' positions are 100 times too small for the rig: multiply them.": _scaled(100.0),
    "The rig's translation is not centred where the cameras look: subtract its mean.": _centred,
}


def _misplaced(
    scene: Scene, rig: Rig, report: DataReport, shots: list[tuple[int, np.ndarray | None, bool]]
) -> list[str]:
    """What explains a rig that does not lie where the head is."""
    unseen = sum(not seen for _, _, seen in shots)
    masked = [(view, mask) for view, mask, _ in shots if mask is not None][:4]
    if not masked:
        return (
            [f"The rig is outside {unseen} of {len(shots)} pictures; look at the overlays."] if unseen else []
        )
    if report.iou is None or report.iou >= GOOD:
        return []
    before = float(np.mean([overlap(_silhouette(scene, rig, v), m) for v, m in masked]))
    after = {
        text: float(np.mean([overlap(_silhouette(scene, rig, v, change), m) for v, m in masked]))
        for text, change in CORRECTIONS.items()
    }
    best = max(after, key=lambda text: after[text])
    found = f"Rig and masks overlap by {report.iou:.2f} only (1 is a perfect fit)."
    if after[best] >= before + GAIN:
        return [f"{found} {best} The overlap is then {after[best]:.2f}."]
    return [
        f"{found} No usual mistake explains it; look at the overlays, the rig's options and the tracking."
    ]

"""Looks at a data set before training: does every picture decode, and does the rig lie where the head is?

Masks come first, since all else is measured against them. The rig is posed at each sampled view's timestep
and its silhouette, by ray casting, compared with the mask. Where they disagree, the usual mistakes in camera
and mesh conventions are tried in turn, and one is named only if it makes them agree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from surfhead.core.components import Rig
from surfhead.core.errors import SurfheadError
from surfhead.core.rig_parameter import with_role
from surfhead.core.scene import SPLITS, Scene
from surfhead.core.types import Cameras
from surfhead.data import overlays
from surfhead.data.feed import Feed, cameras_of
from surfhead.data.file_check import damaged_files
from surfhead.data.mask_check import FOREGROUND, collected, fault_in, faults_in_files, overlap
from surfhead.meshes.meshcaster import MeshCaster
from surfhead.terminal.bars import waiting, watched

GOOD = 0.5  # IoU from which rig and mask agree: hair and shoulders are in masks, but not in head models
GAIN = 0.15  # rise of the IoU from which a correction is believed
CONVINCING = 0.8  # IoU below which no correction of the cameras is offered
FAR = 0.2  # fall of a view's IoU below the median from which the view is named
FLAT = 3  # grey levels within which a picture is blank
NAMED = 5  # views named in one sentence
SHOWN = 400  # views on the sheet, the worst ones
SHEET = "sheet.png"


@dataclass(frozen=True)
class Sample:
    """One sampled view.

    Attributes:
        name: of the view.
        overlay: the picture with the rig's silhouette and the mask's outline, small, over its name.
        iou: intersection over union of silhouette and mask; None without a rig or a mask.
    """

    name: str
    overlay: Image.Image
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

    def sheet(self) -> np.ndarray:
        """(H, W, 3) uint8: the overlays on one sheet, the worst overlap first."""
        ranked = sorted(self.samples, key=lambda s: 2.0 if s.iou is None else s.iou)
        return overlays.sheet([sample.overlay for sample in ranked[:SHOWN]])


@dataclass(frozen=True)
class _Shot:
    """What one decoded view shows: the mask (H, W) bool, if it is of any use, and the rig's silhouette."""

    view: int
    mask: np.ndarray | None
    silhouette: np.ndarray | None
    blank: bool


def check_scene(scene: Scene, rig: Rig | None, limit: int, folder: Path | None = None) -> DataReport:
    """Look at a data set.

    Args:
        scene: the opened data set.
        rig: its rig, prepared; None for static scenes, or where it is missing.
        limit: views to decode and compare, evenly spread; 0 means all. Whether every view's files are there
            and whole, and whether every timestep has a picture, is looked at in any case; numbers were when
            it opened.
        folder: where the overlays go, if anywhere: one a view, and a sheet of all.
    """
    count = len(scene.views)
    chosen = np.arange(count)
    if 0 < limit < count:
        chosen = (np.arange(limit) * count) // limit
    waiting("Opening every file")
    damaged = damaged_files(scene, range(count))
    problems = [*_gaps(scene), *_told(scene, damaged)]
    chosen = chosen[~np.isin(chosen, list(damaged))]
    faults = faults_in_files(scene, chosen)
    feed = Feed(scene, torch.device("cpu"), "disk")
    feed.close()
    samples: list[Sample] = []
    shots: list[_Shot] = []
    masks = len(faults)
    for number, view in enumerate(watched(chosen.tolist(), "Looking at views", len(chosen))):
        try:
            frame = feed.check(view, scene.frame(view))
        except SurfheadError as error:
            if view not in faults:  # a mask of another size is told with its like
                problems.append(" ".join(str(error).splitlines()))
            continue
        silhouette = None if rig is None else _silhouette(scene, rig, view)
        mask = None if frame.mask is None else frame.mask >= FOREGROUND
        if frame.mask is not None:
            masks += view not in faults
            kind = fault_in(frame.mask, silhouette)
            if kind:
                faults.setdefault(view, (kind, ""))
        iou = None if silhouette is None or mask is None else overlap(silhouette, mask)
        name = scene.views.names[view]
        drawn = overlays.overlay(frame.image, silhouette, mask)
        text = overlays.caption(name, iou)
        samples.append(Sample(name, overlays.captioned(drawn, text, overlays.CELL), iou))
        if folder is not None:
            overlays.save(np.asarray(overlays.captioned(drawn, text)), folder / f"{number:03d}.png")
        blank = int(frame.image.max()) - int(frame.image.min()) <= FLAT
        shots.append(_Shot(view, None if view in faults else mask, silhouette, blank))
    report = DataReport(_facts(scene, len(samples), len(chosen)), samples, problems)
    problems[:0] = map(str, collected(scene, faults, masks))
    problems += _blank(scene, shots)
    if rig is not None and shots:
        problems += _misplaced(scene, rig, shots)
    problems += _away(scene, shots)
    if folder is not None and samples:
        overlays.save(report.sheet(), folder / SHEET)
    return report


def _listed(scene: Scene, views: list[int]) -> str:
    names = ", ".join(f'"{scene.views.names[view]}"' for view in views[:NAMED])
    return names + ", ..." * (len(views) > NAMED)


def _told(scene: Scene, damaged: Mapping[int, tuple[Path, str]]) -> list[str]:
    """Missing and damaged files, a sentence each."""
    gone = {view: file for view, (file, what) in damaged.items() if what in ("is missing", "is empty")}
    spoilt = {view: (file, what) for view, (file, what) in damaged.items() if view not in gone}
    said = []
    if gone:
        view, file = next(iter(gone.items()))
        of = f"{len(gone)} of {len(scene.views)} views lack a file or have an empty one"
        where = f'the first is view "{scene.views.names[view]}" with "{file}"'
        said.append(f"{of}; {where}. Restore the files, or remove these frames from the description.")
    if spoilt:
        view, (file, what) = next(iter(spoilt.items()))
        of = f"{len(spoilt)} of {len(scene.views)} views have a damaged file"
        where = f'"{file}" of view "{scene.views.names[view]}" {what}'
        said.append(f"{of}; {where}. Restore the files, or remove these frames from the description.")
    return said


def _blank(scene: Scene, shots: list[_Shot]) -> list[str]:
    """Pictures of one colour."""
    views = [shot.view for shot in shots if shot.blank]
    if not views:
        return []
    return [
        f"{len(views)} of {len(shots)} pictures are blank, of one colour: {_listed(scene, views)}. "
        "Restore them, or remove these frames."
    ]


def _away(scene: Scene, shots: list[_Shot]) -> list[str]:
    """Views that see nothing of the rig, or of the points, while most others do."""
    what = "rig" if any(shot.silhouette is not None for shot in shots) else "initial points"
    if what == "rig":
        away = [s.view for s in shots if s.silhouette is not None and not s.silhouette.any()]
    elif scene.points is not None and len(scene.points):
        away = [shot.view for shot in shots if not _sees(scene, shot.view)]
    else:
        return []
    if not away or (2 * len(away) > len(shots) and any(shot.mask is not None for shot in shots)):
        return []  # cameras that are all wrong are told by the overlap
    if 2 * len(away) > len(shots):
        return [f"The {what} is outside {len(away)} of {len(shots)} pictures; look at the overlays."]
    return [
        f"{len(away)} of {len(shots)} views look away from the {what}: {_listed(scene, away)}. "
        "Check their cameras, or remove these frames."
    ]


def _sees(scene: Scene, view: int) -> bool:
    """Whether any initial point projects into a view's picture."""
    views = scene.views
    height, width = views.size(view)
    points = np.asarray(scene.points, dtype=np.float64)
    seen = points @ views.camera_from_world[view][:3, :3].T + views.camera_from_world[view][:3, 3]
    seen = seen[seen[:, 2] > 0] @ views.intrinsics[view].T
    x, y = seen[:, 0] / seen[:, 2], seen[:, 1] / seen[:, 2]
    return bool(((x >= 0) & (x < width) & (y >= 0) & (y < height)).any())


def _facts(scene: Scene, decoded: int, tried: int) -> dict[str, str]:
    views = scene.views
    count = sum(len(scene.files(view)) for view in range(len(views)))
    splits = ", ".join(f"{len(views.of(name))} {name}" for name in SPLITS)
    points = 0 if scene.points is None else len(scene.points)
    return {
        "views": f"{len(views)} ({splits}) of {_sizes(scene)}",
        "cameras": str(len(np.unique(views.camera))),
        "timesteps": str(scene.timesteps or len(np.unique(views.timestep))),
        "rig": scene.rig,
        "rig parameters": ", ".join(f"{k} {v.shape[1]}" for k, v in scene.rig_parameters.items()) or "none",
        "initial points": str(points),
        "files": f"{count}, looked for one by one" if count else "none of its own",
        "decoded": f"{decoded} of {tried} sampled views without an error",
    }


def _sizes(scene: Scene) -> str:
    views = scene.views
    if views.sizes is None:
        return f"{views.width}x{views.height}"
    kinds, counts = np.unique(views.sizes, axis=0, return_counts=True)
    largest = np.argsort(-counts)[:NAMED]
    shown = ", ".join(f"{kinds[i, 1]}x{kinds[i, 0]} ({counts[i]})" for i in largest)
    return shown + ", ..." * (len(kinds) > NAMED)


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


def _centred(scene: Scene, rig: Rig) -> Callable[[Cameras, Tensor], tuple[Cameras, Tensor]]:
    """Vertices less the mean of the rig's translation, or of themselves where it has none."""
    moved = scene.rig_parameters.get(with_role(rig.parameters(), "translation") or "")

    def change(camera: Cameras, vertices: Tensor) -> tuple[Cameras, Tensor]:
        return camera, vertices - (vertices if moved is None else moved.to(vertices)).mean(dim=0)

    return change


CORRECTIONS: dict[str, Callable[[Cameras, Tensor], tuple[Cameras, Tensor]]] = {
    "The cameras' axes are OpenGL's (y up, z backward): turn y and z of each round.": _flipped,
    "The camera matrices are world-from-camera: invert them.": _inverted,
    "The cameras' positions are 100 times too large for the rig: divide them.": _scaled(0.01),
    "The cameras' positions are 1000 times too large for the rig: divide them.": _scaled(0.001),
    "The cameras' positions are 100 times too small for the rig: multiply them.": _scaled(100.0),
}
CENTRE = "The rig's translation is not centred where the cameras look: subtract its mean."


def _misplaced(scene: Scene, rig: Rig, shots: list[_Shot]) -> list[str]:
    """Views whose rig does not lie where the head is, and what explains it where all do not.

    Only masks without a fault count, and a correction only by what it makes overlap: an empty silhouette
    over an empty mask explains nothing.
    """
    masked = [shot for shot in shots if shot.mask is not None and shot.silhouette is not None]
    if not masked:
        return []
    found = np.array([overlap(shot.silhouette, shot.mask) for shot in masked])  # type: ignore[arg-type]
    if found.mean() >= GOOD:
        return _outliers(scene, masked, found)
    tried = [shot for shot in masked if shot.mask is not None and shot.mask.any()][:4]
    before = _fit(scene, rig, tried)
    changes = {**CORRECTIONS, CENTRE: _centred(scene, rig)}
    after = {text: _fit(scene, rig, tried, change) for text, change in changes.items()}
    best = max(after, key=lambda text: after[text])
    said = f"Rig and masks overlap by {found.mean():.2f} only (1 is a perfect fit)."
    if after[best] >= max(before + GAIN, CONVINCING):
        return [f"{said} {best} The overlap is then {after[best]:.2f}."]
    few = _outliers(scene, masked, found)
    if few and float(np.median(found)) >= GOOD:
        return few
    return [f"{said} No usual mistake explains it; look at the overlays, the rig's options and the tracking."]


def _fit(
    scene: Scene,
    rig: Rig,
    shots: list[_Shot],
    change: Callable[[Cameras, Tensor], tuple[Cameras, Tensor]] | None = None,
) -> float:
    """The mean overlap of some views, after a change."""
    values = []
    for shot in shots:
        assert shot.mask is not None
        values.append(overlap(_silhouette(scene, rig, shot.view, change), shot.mask))
    return float(np.mean(values)) if values else 0.0


def _outliers(scene: Scene, shots: list[_Shot], found: np.ndarray) -> list[str]:
    """Single views whose overlap is far below the others'; those that see nothing are told elsewhere."""
    median = float(np.median(found))
    seen = np.array([bool(shot.silhouette.any()) for shot in shots if shot.silhouette is not None])
    low = np.flatnonzero((found < median - FAR) & seen)
    low = low[np.argsort(found[low])]
    if len(low) == 0:
        return []
    names = ", ".join(f'"{scene.views.names[shots[i].view]}" {found[i]:.2f}' for i in low[:NAMED])
    return [
        f"{len(low)} of {len(shots)} views overlap far less than the median {median:.2f}: {names}"
        f"{', ...' * (len(low) > NAMED)}. Check their cameras, masks and tracking."
    ]

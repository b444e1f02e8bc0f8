"""An avatar's surface beside the true one, where the data know it; and the bare rig's beside both.

What is measured, for each timestep:

    mesh              the avatar's extracted mesh (``mesh_extraction``)
    rig mesh          the bare mesh of the rig, posed by the data: what an avatar must beat
    splats            the normals that the avatar's pictures show
    median depth      the normals of the surface that the median depth describes (``depth_normals``)
    expected depth    the same of the expected depth
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from surfhead.core.errors import DataError
from surfhead.core.scene import Scene
from surfhead.core.types import Cameras
from surfhead.data.feed import cameras_of
from surfhead.files.writing import beside, open_text, write_text
from surfhead.maths import metrics
from surfhead.maths.depth_normals import depth_normals
from surfhead.maths.triangles import vertex_normals
from surfhead.measuring.evaluation import FOREGROUND, spread
from surfhead.meshes import surface_metrics
from surfhead.meshes.meshcaster import MeshCaster
from surfhead.meshes.surface_metrics import Surface, compare_surfaces
from surfhead.results.mesh_extraction import MeshSettings, cameras_for, extract_mesh
from surfhead.terminal.bars import watched
from surfhead.terminal.figure_names import conventions_text, figure_name
from surfhead.terminal.figure_table import FigureTable

if TYPE_CHECKING:
    from surfhead.avatars.avatar import Avatar

NORMAL = "normal_error_deg"
CONVENTIONS = {
    **surface_metrics.CONVENTIONS,
    NORMAL: "mean angle to the true normals inside the true mask, degrees, a mean over the timestep's views; "
    "90 where nothing is; of meshes: of the vertices' normals, interpolated",
}
"""What each column is."""
SEEN = "Distances: 100000 points by area on each surface, those that a camera of the data sees."


@dataclass(frozen=True)
class GeometryEvaluation:
    """Figures of some timesteps.

    Attributes:
        rows: a mapping for each timestep and thing measured: ``timestep``, ``surface``, its figures.
        conventions: figure -> how it is computed.
        notes: what the reader should know, in sentences.
    """

    rows: list[dict[str, Any]]
    conventions: dict[str, str]
    notes: tuple[str, ...] = (SEEN,)

    def table(self) -> FigureTable:
        """The figures as a table, with the conventions below."""
        names = {key: figure_name(key) for key in self.conventions}
        return FigureTable(
            "Surfaces against the true one",
            ["timestep", "surface"],
            [name.stacked for name in names.values()],
            [
                [
                    str(row["timestep"]),
                    row["surface"],
                    *(name.text(row.get(key)) for key, name in names.items()),
                ]
                for row in self.rows
            ],
            caption=[*conventions_text(self.conventions), *self.notes],
        )

    def write(self, folder: Path) -> list[Path]:
        """Write ``geometry.json`` and ``geometry.csv``; gives the files."""
        folder.mkdir(parents=True, exist_ok=True)
        as_json, as_csv = folder / "geometry.json", folder / "geometry.csv"
        document = {"conventions": self.conventions, "notes": list(self.notes), "rows": self.rows}
        write_text(as_json, json.dumps(document, indent=1, allow_nan=False))
        with beside(as_csv) as temporary, open_text(temporary) as file:
            writer = csv.DictWriter(file, ["timestep", "surface", *self.conventions], restval="")
            writer.writeheader()
            writer.writerows(self.rows)
        return [as_json, as_csv]


def evaluate_geometry(
    avatar: Avatar,
    scene: Scene,
    timesteps: Sequence[int],
    settings: MeshSettings | None = None,
    *,
    motion: Mapping[str, Tensor] | None = None,
) -> GeometryEvaluation:
    """Measure an avatar's surface at some timesteps of a scene.

    Args:
        settings: of the mesh.
        motion: name -> (T, d) rig parameters of the avatar at the scene's timesteps; by default its own.

    Raises:
        DataError: the data know no true surface.
    """
    settings = settings or MeshSettings()
    poses = avatar.motion if motion is None else motion
    rows: list[dict[str, Any]] = []
    for timestep in watched(timesteps, "Measuring surfaces", len(timesteps)):
        truth = scene.true_mesh(timestep)
        if truth is None:
            raise DataError(
                "The data know no true surface.",
                "Expected data that do, such as the built-in head.",
                "Leave --geometry out.",
            )
        views = np.flatnonzero(scene.views.timestep == timestep)
        pose = {name: values[timestep : timestep + 1] for name, values in poses.items()}
        seen_from = cameras_for(avatar, pose, settings, scene, timestep)
        made = extract_mesh(avatar, pose, settings, seen_from)
        surfaces = {"mesh": Surface(made.vertices, made.triangles)}
        if avatar.deformer.rig_bound:
            surfaces["rig mesh"] = rig_surface(avatar, scene, timestep)
        for name, surface in surfaces.items():
            figures = compare_surfaces(surface, Surface(*truth), cameras=scene_cameras(scene))
            normals = _mesh_normals(surface, cameras_of(scene, views, "cpu"))
            rows.append({"timestep": timestep, "surface": name, **figures, **_error(scene, views, normals)})
        for name, normals in _drawn_normals(avatar, scene, views, pose).items():
            rows.append({"timestep": timestep, "surface": name, **_error(scene, views, normals)})
    return GeometryEvaluation(rows, dict(CONVENTIONS))


def evaluate_run_geometry(
    run: Path,
    *,
    data: str | None = None,
    splits: Sequence[str] = ("val", "test"),
    count: int = 1,
    device: str = "auto",
    out: Path | None = None,
    own_motion: bool = False,
) -> GeometryEvaluation:
    """Measure a run's surface at ``count`` timesteps of each split, evenly spread; writes the tables.

    Args:
        data: another data set of the same rig.
        out: where to write; by default eval/ in the run.
        own_motion: pose it by its own motion on ``data`` too, which it was trained on before it was imported.

    Raises:
        DataError: the data know no true surface, or have no views in these splits.
    """
    from surfhead.avatars.scene_motion import motion_for
    from surfhead.runs.run import Run

    read = Run(run).on(data)
    scene, avatar = read.scene, read.avatar(device)
    chosen: list[int] = []
    for split in splits:
        chosen += spread(np.unique(scene.views.timestep[scene.views.of(split)]), count).tolist()
    if not chosen:
        raise DataError(f"The data set has no views in: {', '.join(splits)}.", "", "Choose another --split.")
    motion = None if data is None else motion_for(avatar, scene, own_motion)
    found = evaluate_geometry(avatar, scene, list(dict.fromkeys(chosen)), motion=motion)
    found.write(out or run / "eval" / f"{avatar.images:08d}")
    return found


def scene_cameras(scene: Scene) -> Cameras:
    """One of each of the scene's cameras, as in its first picture."""
    _, first = np.unique(scene.views.camera, return_index=True)
    return cameras_of(scene, first, "cpu")


def rig_surface(avatar: Avatar, scene: Scene, timestep: int) -> Surface:
    """The bare rig mesh at a timestep, by the data's parameters."""
    row = {
        name: rows[timestep : timestep + 1].to(avatar.device) for name, rows in scene.rig_parameters.items()
    }
    with torch.no_grad():
        mesh = avatar.rig(row)
    return Surface(mesh.vertices[0].cpu(), mesh.topology.triangles.cpu())


def _mesh_normals(surface: Surface, cameras: Cameras) -> Tensor:
    """(B, H, W, 3) camera-space normals of a mesh, interpolated from its vertices'."""
    hits = MeshCaster(surface.vertices, surface.triangles).cast(cameras)
    normals = hits.interpolate(surface.triangles, vertex_normals(surface.vertices, surface.triangles))
    turned = torch.einsum("bij,bhwj->bhwi", cameras.camera_from_world[:, :3, :3], normals)
    return turned * hits.mask[..., None]


def _drawn_normals(
    avatar: Avatar, scene: Scene, views: np.ndarray, pose: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """What is measured -> (B, H, W, 3) camera-space normals, on the CPU."""
    made: dict[str, list[Tensor]] = {"splats": [], "median depth": [], "expected depth": []}
    for view in views.tolist():
        cameras = cameras_of(scene, [view], avatar.device)
        output = avatar.render(cameras, pose).output
        drawn = (output.alpha > 0)[..., None]
        made["splats"].append((output.normal * drawn).cpu())
        for name, depth in (("median depth", output.median_depth), ("expected depth", output.depth)):
            made[name].append(depth_normals(depth, output.alpha, cameras.intrinsics)[0].cpu())
    return {name: torch.cat(normals) for name, normals in made.items()}


def _error(scene: Scene, views: np.ndarray, normals: Tensor) -> dict[str, float]:
    """The mean angle to the true normals of some views, or nothing where these are not known."""
    errors = []
    for view, drawn in zip(views.tolist(), normals, strict=True):
        frame = scene.frame(view)
        if frame.normal is None:
            continue
        truth = torch.from_numpy(np.ascontiguousarray(frame.normal))[None]
        known = truth.square().sum(dim=-1) > 0
        if frame.mask is not None:
            known &= torch.from_numpy(frame.mask >= FOREGROUND)[None]
        if bool(known.any()):
            errors.append(float(metrics.angular_error(drawn[None], truth, known)))
    return {NORMAL: float(np.mean(errors))} if errors else {}

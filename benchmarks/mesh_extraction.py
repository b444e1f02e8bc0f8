"""Meshes of avatars: python -m benchmarks.mesh_extraction [RUN ...] [--device cuda] [--size 802x550]

Prints (a) how far the mesh of a sphere, fused from exact depth pictures, is from the sphere, by voxel size
and number of views; (b) the seconds of a mesh, by steps, of the first run, or of a head-sized ellipsoid of
surfels; and (c) for each run on the built-in head, distances and normals at rest and at the held-out motion's
strongest expression, beside the bare rig mesh. --pictures FOLDER also writes shaded pictures of (c).
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.head_scene import head_scene
from surfhead.avatars.avatar import Avatar
from surfhead.core.registry import registry
from surfhead.core.scene import Scene
from surfhead.core.types import Cameras
from surfhead.data.opening import open_scene
from surfhead.drawing import pictures
from surfhead.drawing.camera_path import around
from surfhead.drawing.contact_sheet import contact_sheet
from surfhead.meshes.depth_pictures import DepthPictures, prepare
from surfhead.meshes.fusion import TsdfVolume
from surfhead.meshes.meshcaster import MeshCaster
from surfhead.meshes.surface_mesh import zero_surface
from surfhead.meshes.surface_metrics import Surface, distances, sample_surface
from surfhead.results.geometry_evaluation import evaluate_geometry, rig_surface
from surfhead.results.mesh_extraction import (
    LEAST_WEIGHT,
    MeshSettings,
    cameras_for,
    canonical_pose,
    coloured,
    depth_pictures,
    extract_mesh,
    head_box,
    pose_at,
)
from surfhead.runs.run import load_avatar, read_config

Draw = Callable[[], tuple[list[DepthPictures], tuple[Tensor, Tensor]]]
RADIUS = 0.09  # metres
VOXELS_MM = (0.5, 1.0, 2.0, 4.0)
VIEWS = (6, 12, 24, 48)
LIGHT = (-0.3, -0.4, -0.85)  # in camera axes, towards the surface


def sphere_pictures(count: int, size: int, device: str) -> DepthPictures:
    """Exact depth of a sphere about the origin."""
    side = torch.full((3,), RADIUS * 1.05)
    cameras = around(-side, side, count, (size, size))
    pixel = torch.arange(size, dtype=torch.float64) + 0.5
    column, row = torch.meshgrid(pixel, pixel, indexing="xy")
    inverse = torch.linalg.inv(cameras.intrinsics.double())
    ray = torch.stack([column, row, torch.ones_like(row)], dim=-1) @ inverse[:, None].mT
    # |z ray - c| = r, c the centre in the camera's axes
    centre = cameras.camera_from_world[:, None, None, :3, 3].double()
    a, b = (ray * ray).sum(-1), (ray * centre).sum(-1)
    root = b * b - a * ((centre * centre).sum(-1) - RADIUS**2)
    depth = torch.where(root > 0, (b - root.clamp_min(0).sqrt()) / a, 0.0).float()
    return DepthPictures(cameras.to(device), depth.to(device), (depth > 0).float().to(device))


def sphere_chamfer(voxel: float, views: int, size: int, device: str) -> float:
    """Chamfer of the fused sphere, metres: points of the mesh to the sphere and of the sphere to the mesh."""
    side = torch.full((3,), RADIUS + 3 * voxel)
    volume = TsdfVolume(-side, side, voxel, truncation=MeshSettings(voxel=voxel).band, device=device)
    volume.fuse(prepare([sphere_pictures(views, size, device)], device))
    mesh = zero_surface(volume, LEAST_WEIGHT).largest(1).smoothed(MeshSettings().smooth)
    surface = Surface(mesh.vertices, mesh.triangles)
    off = np.abs(np.linalg.norm(sample_surface(surface, 100_000).points, axis=1) - RADIUS)
    direction = np.random.default_rng(0).normal(size=(100_000, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    # the cameras see all but what is below them
    seen = direction[:, 1] > -math.sin(math.radians(60.0))
    return 0.5 * float(off.mean() + distances(RADIUS * direction[seen], surface).mean())


def spheres(console: Console, size: int, device: str) -> None:
    """Table (a)."""
    table = Table(title=f"chamfer of a sphere of {2000 * RADIUS:g} mm, {size}x{size} pixels, mm")
    table.add_column("voxel mm", justify="right")
    for views in VIEWS:
        table.add_column(f"{views} views", justify="right")
    for voxel in VOXELS_MM:
        cells = [sphere_chamfer(voxel / 1000, views, size, device) for views in VIEWS]
        table.add_row(f"{voxel:g}", *(f"{1000 * cell:.4f}" for cell in cells))
    console.print(table)


def speed(
    console: Console, runs: list[Path], settings: MeshSettings, shape: tuple[int, int], device: str
) -> None:
    """Table (b)."""
    draw = _of_run(runs[0], settings, shape, device) if runs else _of_ellipsoid(settings, shape, device)
    what = f"{settings.views} views of {shape[1]}x{shape[0]}, voxels of 1 mm, {device}"
    table = Table(title=f"seconds of a mesh: {what}")
    names = ("rendering", "fusion", "marching cubes", "parts, smoothing", "colours", "writing", "all")
    for name in ("repeat", *names, "voxels", "vertices"):
        table.add_column(name, justify="right")
    for repeat in range(3):
        clock = [_now(device)]
        made, (low, high) = draw()
        clock.append(_now(device))
        patches = prepare(made, device)
        volume = TsdfVolume(low, high, settings.voxel, truncation=settings.band, device=device)
        volume.fuse(patches)
        clock.append(_now(device))
        mesh = zero_surface(volume, LEAST_WEIGHT)
        clock.append(_now(device))
        mesh = mesh.largest(1).smoothed(settings.smooth)
        clock.append(_now(device))
        mesh = coloured(mesh, patches, 2 * settings.voxel)
        clock.append(_now(device))
        with tempfile.TemporaryDirectory() as folder:
            mesh.write(Path(folder) / "mesh.ply")
        clock.append(_now(device))
        steps = [*np.diff(clock), clock[-1] - clock[0]]
        voxels = f"{math.prod(volume.shape) / 1e6:.1f} M"
        table.add_row(str(repeat + 1), *(f"{s:.2f}" for s in steps), voxels, str(len(mesh.vertices)))
    console.print(table)


def _of_run(run: Path, settings: MeshSettings, shape: tuple[int, int], device: str) -> Draw:
    avatar = load_avatar(run, device=device)
    pose = canonical_pose(avatar)

    def draw() -> tuple[list[DepthPictures], tuple[Tensor, Tensor]]:
        low, high = head_box(avatar, pose)
        [orbit] = cameras_for(avatar, pose, settings)
        orbit = replace(orbit, cameras=around(low, high, settings.views, shape))
        return depth_pictures(avatar, pose, [orbit], settings), (low, high)

    return draw


def _of_ellipsoid(settings: MeshSettings, shape: tuple[int, int], device: str) -> Draw:
    surfels, colour, _, _, _ = head_scene(14_000, 1, *shape, device=device)
    rasterizer = registry().create("rasterizer", "auto", {}, torch.device(device).type)
    low, high = torch.tensor([-0.10, -0.14, -0.11]), torch.tensor([0.10, 0.14, 0.11])

    def draw() -> tuple[list[DepthPictures], tuple[Tensor, Tensor]]:
        cameras: Cameras = around(low, high, settings.views, shape).to(device)
        made = []
        for start in range(0, settings.views, 4):
            part = cameras[start : start + 4]
            count = len(part)
            background = torch.ones(count, 3, device=device)
            pose_of_view = torch.zeros(count, dtype=torch.int64, device=device)
            colours = colour.expand(count, -1, -1).contiguous()
            with torch.no_grad():
                output = rasterizer(surfels, colours, part, pose_of_view, background)
            weight = torch.where(output.alpha >= settings.alpha, output.alpha, 0.0)
            made.append(DepthPictures(part, output.median_depth, weight, output.rgb))
        return made, (low, high)

    return draw


def _now(device: str) -> float:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def strongest(scene: Scene) -> int:
    """The timestep of the held-out motion with the largest expression."""
    held_out = np.unique(scene.views.timestep[scene.views.of("test")])
    norm = scene.rig_parameters["expression"][torch.from_numpy(held_out)].norm(dim=1)
    return int(held_out[int(norm.argmax())])


def heads(
    console: Console, runs: list[Path], settings: MeshSettings, device: str, folder: Path | None
) -> None:
    """Table (c), and its pictures."""
    title = f"extracted meshes against the true surface: {settings.views} views of {settings.size} pixels, "
    title += f"voxels of {1000 * settings.voxel:g} mm, {settings.depth} depth, cameras: {settings.cameras}"
    table = Table(title=title)
    conventions: dict[str, str] = {}
    rows: dict[tuple[str, int, str], dict[str, float]] = {}
    for run in runs:
        scene = open_scene(read_config(run)).scene
        avatar = load_avatar(run, device=device)
        moments = [0, strongest(scene)]
        found = evaluate_geometry(avatar, scene, moments, settings)
        conventions = found.conventions
        for row in found.rows:
            name = "" if row["surface"] == "rig mesh" else run.name
            rows[name, row["timestep"], row["surface"]] = row
        if folder is not None:
            for moment in moments:
                _sheet(avatar, scene, moment, settings, folder / f"{run.name}-{moment:05d}.png")
    for column in ("run", "timestep", "surface", *conventions):
        table.add_column(
            column.replace("_", " "), justify="left" if column in ("run", "surface") else "right"
        )
    order = sorted(rows, key=lambda key: (key[1], key[2] != "rig mesh", key[2] != "mesh"))
    for key in order:
        figures = (f"{rows[key][name]:.3f}" if name in rows[key] else "" for name in conventions)
        table.add_row(key[0], str(key[1]), key[2], *figures)
    console.print(table)
    for name, text in conventions.items():
        console.print(f"{name}: {text}")


def _sheet(avatar: Avatar, scene: Scene, timestep: int, settings: MeshSettings, path: Path) -> None:
    """Shaded pictures of the true surface, the bare rig mesh, and the extracted mesh, and its colours."""
    truth = scene.true_mesh(timestep)
    if truth is None:
        return
    pose = pose_at(avatar, timestep)
    seen_from = cameras_for(avatar, pose, settings, scene, timestep)
    mesh = extract_mesh(avatar, pose, settings, seen_from)
    low, high = head_box(avatar, pose)
    middle = around(low, high, 1, (384, 384))
    turns = torch.tensor([0.0, 40.0, 90.0, 180.0])
    cameras = torch.cat([_turned(middle, float(angle), (low + high) / 2) for angle in turns])
    rig = rig_surface(avatar, scene, timestep)
    shown = {"truth": Surface(*truth), "rig mesh": rig, "mesh": Surface(mesh.vertices, mesh.triangles)}
    eyes = replace(middle, camera_from_world=cameras, intrinsics=middle.intrinsics.repeat(len(turns), 1, 1))
    cells = {name: _shaded(surface, eyes, None) for name, surface in shown.items()}
    cells["colours"] = _shaded(shown["mesh"], eyes, mesh.colours)
    pictures.save(contact_sheet([f"{int(a)}" for a in turns], cells), path)


def _turned(camera: Cameras, degrees: float, about: Tensor) -> Tensor:
    """(1, 4, 4) camera from world of a level camera in front of a point, carried round it."""
    angle = math.radians(degrees)
    distance = float((camera.centre[0] - about).norm())
    away = torch.tensor([math.sin(angle), 0.0, math.cos(angle)])
    right = torch.tensor([math.cos(angle), 0.0, -math.sin(angle)])
    pose = torch.eye(4)
    pose[:3, :3] = torch.stack([right, torch.tensor([0.0, -1.0, 0.0]), -away])
    pose[:3, 3] = -pose[:3, :3] @ (about + distance * away)
    return pose[None]


def _shaded(surface: Surface, cameras: Cameras, colours: Tensor | None) -> list[np.ndarray]:
    hits = MeshCaster(surface.vertices, surface.triangles).cast(cameras)
    if colours is None:
        light = torch.nn.functional.normalize(torch.tensor(LIGHT), dim=0)
        grey = 0.15 + 0.85 * (hits.normal @ light).clamp_min(0.0)
        rgb = grey[..., None].expand(*grey.shape, 3)
    else:
        rgb = hits.interpolate(surface.triangles, colours / 255.0)
    rgb = torch.where(hits.mask[..., None], rgb, torch.ones(3))
    return list((255.0 * rgb).round().to(torch.uint8).numpy())


def main() -> None:
    """Measure and print."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--views", type=int, default=24)
    parser.add_argument("--size", default="256x256", help="height x width of (a)'s and (b)'s pictures")
    parser.add_argument("--longest", type=int, default=MeshSettings().size, help="of (c)'s pictures, pixels")
    parser.add_argument("--depth", default="median")
    parser.add_argument("--cameras", default="both", help="of (c)")
    parser.add_argument("--cover", default="full", help="of (c)")
    parser.add_argument("--truncation", type=float, default=MeshSettings().truncation, help="metres")
    parser.add_argument("--smooth", type=int, default=MeshSettings().smooth, help="of (b) and (c), steps")
    parser.add_argument("--only", nargs="+", choices=("a", "b", "c"), default=["a", "b", "c"])
    parser.add_argument("--pictures", type=Path)
    arguments = parser.parse_args()
    height, width = (int(side) for side in arguments.size.split("x"))
    settings = MeshSettings(
        views=arguments.views,
        depth=arguments.depth,
        size=arguments.longest,
        cameras=arguments.cameras,
        cover=arguments.cover,
        truncation=arguments.truncation,
        smooth=arguments.smooth,
    )
    console = Console(width=170)
    if "a" in arguments.only:
        spheres(console, min(height, width), arguments.device)
    if "b" in arguments.only:
        speed(console, arguments.runs, settings, (height, width), arguments.device)
    if "c" in arguments.only and arguments.runs:
        heads(console, arguments.runs, settings, arguments.device, arguments.pictures)
    cuda = torch.device(arguments.device).type == "cuda"
    name = torch.cuda.get_device_name() if cuda else platform.machine()
    threads = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"
    console.print(f"torch {torch.__version__}, {name}, {threads}")


if __name__ == "__main__":
    main()

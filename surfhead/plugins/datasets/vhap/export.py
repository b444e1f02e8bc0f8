"""Writes any scene as a VHAP export, which GaussianAvatars' and SurFhead's loaders read too."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from surfhead.core.api import Scene
from surfhead.files.writing import beside, write_text
from surfhead.plugins.datasets.transforms import OPENCV_FROM_OPENGL
from surfhead.plugins.datasets.vhap.layout import CANONICAL, EXTENSION, SPLITS
from surfhead.plugins.datasets.vhap.tracking import IDENTITY, Fields, timestep_fields
from surfhead.terminal.bars import watched

NEUTRAL_JAW = 0.3  # radians; VHAP's canonical pose has the mouth a little open


def write_layout(scene: Scene, folder: Path) -> list[Path]:
    """Write pictures, masks, tracking and cameras; gives the .json files.

    Args:
        scene: any opened data set with a rig.
        folder: is made if need be.
    """
    for name in ("images", "fg_masks", "flame_param"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    _write_tracking(scene, folder)
    with ThreadPoolExecutor(4) as pool:
        made = pool.map(lambda view: _write_view(scene, view, folder), range(len(scene.views)))
        frames = list(watched(made, "Writing pictures", len(scene.views)))
    split = scene.views.split
    written = []
    for name in (*SPLITS, "all"):
        chosen = [frame for frame, of in zip(frames, split, strict=True) if name in (of, "all")]
        path = folder / ("transforms.json" if name == "all" else f"transforms_{name}.json")
        write_text(path, json.dumps(_description(scene, chosen), indent=1))
        written.append(path)
    return written


def _write_tracking(scene: Scene, folder: Path) -> None:
    for step in range(scene.timesteps):
        row = {name: values[step] for name, values in scene.rig_parameters.items()}
        _save(folder / "flame_param" / f"{step:05d}.npz", timestep_fields(scene.rig, row, scene.identity))
    neutral = timestep_fields(scene.rig, {}, scene.identity)
    neutral["jaw_pose"][0, 0] = NEUTRAL_JAW
    if scene.rig != "flame":
        neutral |= {IDENTITY + name: value.detach().cpu().numpy() for name, value in scene.identity.items()}
    _save(folder / CANONICAL, neutral)


def _save(path: Path, fields: Fields) -> None:
    save: Any = np.savez  # its signature reserves names that no field has
    with beside(path) as temporary:
        save(temporary, **fields)


def _write_view(scene: Scene, view: int, folder: Path) -> dict[str, Any]:
    views = scene.views
    height, width = views.size(view)
    step, camera = int(views.timestep[view]), int(views.camera[view])
    file = f"{step:05d}_{camera:02d}.png"
    frame = scene.frame(view)
    with beside(folder / "images" / file) as temporary:
        Image.fromarray(frame.image).save(temporary)
    intrinsics = views.intrinsics[view]
    fx, fy, cx, cy = (float(intrinsics[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2)))
    world_from_camera = np.linalg.inv(views.camera_from_world[view]) @ OPENCV_FROM_OPENGL
    fields: dict[str, Any] = {
        "timestep_index": step,
        "timestep_index_original": step,
        "timestep_id": f"{step:05d}",
        "camera_index": camera,
        "camera_id": f"{camera:02d}",
        "cx": cx,
        "cy": cy,
        "fl_x": fx,
        "fl_y": fy,
        "h": height,
        "w": width,
        "camera_angle_x": 2 * math.atan(width / 2 / fx),
        "camera_angle_y": 2 * math.atan(height / 2 / fy),
        "transform_matrix": world_from_camera.tolist(),
        "file_path": f"images/{file}",
        "flame_param_path": f"flame_param/{step:05d}.npz",
    }
    if frame.mask is not None:
        with beside(folder / "fg_masks" / file) as temporary:
            Image.fromarray(frame.mask).save(temporary)
        fields["fg_mask_path"] = f"fg_masks/{file}"
    return fields


def _description(scene: Scene, frames: list[dict[str, Any]]) -> dict[str, Any]:
    shared = ("cx", "cy", "fl_x", "fl_y", "h", "w", "camera_angle_x", "camera_angle_y")
    top: dict[str, Any] = {name: frames[-1][name] for name in shared} if frames else {}
    for field in ("timestep_index", "camera_index"):
        top[field.replace("index", "indices")] = sorted({frame[field] for frame in frames})
    if scene.rig != "flame" or scene.rig_options:
        top[EXTENSION] = {"rig": scene.rig, "rig_options": scene.rig_options}
    return {**top, "frames": frames}

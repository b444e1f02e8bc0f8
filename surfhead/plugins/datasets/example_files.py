"""Small data sets of noise in every layout that is read here, for the conformance checks."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from surfhead.core.api import Frame, Scene, Views
from surfhead.meshes import ply
from surfhead.plugins.datasets.transforms import OPENCV_FROM_OPENGL

WIDTH, HEIGHT = 12, 10
FOCAL, CENTRE = 24.0, (5.5, 5.25)
DISTANCE = 1.2  # metres from camera to head


def camera_from_world(number: int) -> np.ndarray:
    """(4, 4) a camera on an arc in front of the head, looking at it, OpenCV axes."""
    angle = 0.3 * (number - 1)
    sine, cosine = math.sin(angle), math.cos(angle)
    return np.array([[cosine, 0, -sine, 0], [0, -1, 0, 0], [-sine, 0, -cosine, DISTANCE], [0, 0, 0, 1.0]])


def noise(number: int, channels: int = 3) -> np.ndarray:
    """(H, W, channels) uint8."""
    return np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, channels), dtype=np.uint8)


class NoiseScene(Scene):
    """Three cameras, the last held out, over two training timesteps and one of another motion."""

    def __init__(self) -> None:
        step, camera = (part.reshape(-1) for part in np.mgrid[0:3, 0:3])
        intrinsics = np.array([[FOCAL, 0, CENTRE[0]], [0, FOCAL, CENTRE[1]], [0, 0, 1]])
        sizes = {"rotation": 3, "neck": 3, "jaw": 3, "eyes": 6, "expression": 100, "translation": 3}
        generator = torch.Generator().manual_seed(0)
        views = Views(
            np.stack([camera_from_world(number) for number in camera]),
            np.tile(intrinsics, (len(step), 1, 1)),
            step,
            camera,
            np.where(step == 2, "test", np.where(camera == 2, "val", "train")),
            tuple(f"{t}_{c}" for t, c in zip(step, camera, strict=True)),
            HEIGHT,
            WIDTH,
        )
        super().__init__(
            views,
            rig="flame",
            rig_parameters={n: 0.1 * torch.randn(3, size, generator=generator) for n, size in sizes.items()},
            identity={"shape": torch.randn(300, generator=generator)},
        )

    def frame(self, view: int) -> Frame:
        """Noise that depends on the view's number alone."""
        return Frame(noise(view), noise(100 + view, 1)[..., 0])


def write_facetalk(folder: Path) -> None:
    """Two sequences, one of them for training."""
    turn = np.diag([-1.0, -1.0, 1.0, 1.0])
    for number, name in enumerate(("sentence01", "mouth_extreme")):
        for part in ("images", "masks", "normals"):
            (folder / name / part).mkdir(parents=True, exist_ok=True)
        frames: list[dict[str, Any]] = []
        for index in range(3):
            seed = 10 * number + index
            file = f"images/{index:04d}.png"
            Image.fromarray(noise(seed)).save(folder / name / file)
            Image.fromarray(noise(100 + seed, 1)[..., 0]).save(folder / name / "masks" / f"{index:04d}.png")
            normals = np.random.default_rng(seed).normal(size=(HEIGHT, WIDTH, 3)).astype(np.float32)
            np.save(folder / name / "normals" / f"{index:04d}.npy", normals)
            frames.append({"file_path": file, "pose": [0.01 * seed] * 15, "expression": [0.1 * seed] * 50})
        description = {
            "intrinsics": [-2 * FOCAL / WIDTH, -2 * FOCAL / HEIGHT, 0.0, 0.0],
            "cam": (turn @ camera_from_world(0)).tolist(),
            "shape": [0.1] * 100,
            "frames": frames,
        }
        (folder / name / "transforms.json").write_text(json.dumps(description), encoding="utf-8")


def write_blender(folder: Path) -> None:
    """Three RGBA pictures in each split."""
    for number, split in enumerate(("train", "val", "test")):
        (folder / split).mkdir(parents=True, exist_ok=True)
        frames = []
        for index in range(3):
            Image.fromarray(noise(10 * number + index, 4)).save(folder / split / f"r_{index}.png")
            matrix = np.linalg.inv(camera_from_world(index)) @ OPENCV_FROM_OPENGL
            frames.append({"file_path": f"./{split}/r_{index}", "transform_matrix": matrix.tolist()})
        description = {"camera_angle_x": 2 * math.atan(WIDTH / 2 / FOCAL), "frames": frames}
        (folder / f"transforms_{split}.json").write_text(json.dumps(description), encoding="utf-8")


def write_transforms(folder: Path) -> None:
    """Nine pictures, the last three of half the width, and a file of twenty points."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    frames: list[dict[str, Any]] = []
    for number in range(9):
        pixels = noise(number)
        frame: dict[str, Any] = {"file_path": f"images/{number:03d}.png"}
        if number > 5:
            pixels = pixels[:, : WIDTH // 2]
            frame |= {"w": WIDTH // 2, "cx": CENTRE[0] / 2}
        Image.fromarray(pixels).save(folder / "images" / f"{number:03d}.png")
        pose = np.linalg.inv(camera_from_world(number % 3)) @ OPENCV_FROM_OPENGL
        frames.append({**frame, "transform_matrix": pose.tolist()})
    generator = np.random.default_rng(0)
    rows = np.empty(20, [(name, "<f4") for name in "xyz"])
    for name in "xyz":
        rows[name] = generator.normal(scale=0.1, size=20)
    ply.write_ply(folder / "points.ply", rows)
    description = {
        **{"fl_x": FOCAL, "fl_y": FOCAL, "cx": CENTRE[0], "cy": CENTRE[1], "w": WIDTH, "h": HEIGHT},
        "camera_model": "OPENCV",
        "ply_file_path": "points.ply",
        "frames": frames,
    }
    (folder / "transforms.json").write_text(json.dumps(description), encoding="utf-8")


def write_colmap(folder: Path) -> None:
    """Nine pictures and a text model of fifty points."""
    model = folder / "sparse" / "0"
    model.mkdir(parents=True, exist_ok=True)
    (folder / "images").mkdir(exist_ok=True)
    camera = f"1 PINHOLE {WIDTH} {HEIGHT} {FOCAL} {FOCAL} {CENTRE[0]} {CENTRE[1]}\n"
    (model / "cameras.txt").write_text(camera, encoding="utf-8")
    rows = []
    for number in range(9):
        name = f"{number:03d}.png"
        Image.fromarray(noise(number)).save(folder / "images" / name)
        half = 0.05 * (number - 4)  # half the angle of a turn about y, in front of a half turn about x
        quaternion = (0.0, math.cos(half), 0.0, math.sin(half))
        rows.append(" ".join(map(repr, (number + 1, *quaternion, 0.0, 0.0, DISTANCE, 1))) + f" {name}\n\n")
    (model / "images.txt").write_text("".join(rows), encoding="utf-8")
    generator = np.random.default_rng(0)
    points = [
        f"{number} {x} {y} {z} {40 + number} 128 200 0.5\n"
        for number, (x, y, z) in enumerate(generator.normal(scale=0.1, size=(50, 3)))
    ]
    (model / "points3D.txt").write_text("".join(points), encoding="utf-8")

"""Scenes without a rig, from disk: NeRF-synthetic from random points, COLMAP from its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from surfhead.core.registry import create
from surfhead.runs.run import load_avatar
from tests.commands.conftest import Surfhead

OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
SIZE, FOCAL, DISTANCE = 40, 60.0, 4.0
VIEWS = 16


def cameras() -> list[np.ndarray]:
    """World-to-camera matrices around the origin, y up, OpenCV axes."""
    made = []
    for angle in np.linspace(0, 2 * np.pi, VIEWS, endpoint=False):
        place = DISTANCE * np.array([np.sin(angle), 0.3, np.cos(angle)]) / np.sqrt(1.09)
        forward = -place / np.linalg.norm(place)
        right = np.cross(forward, [0.0, 1.0, 0.0])
        right /= np.linalg.norm(right)
        pose = np.eye(4)
        pose[:3, :3] = [right, np.cross(forward, right), forward]
        pose[:3, 3] = -pose[:3, :3] @ place
        made.append(pose)
    return made


def ball(pose: np.ndarray) -> np.ndarray:
    """(H, W, 4) RGBA of a ball of radius 0.8, red in front (+z), green behind, blue above."""
    column, row = np.meshgrid(np.arange(SIZE) + 0.5, np.arange(SIZE) + 0.5)
    rays = np.stack([(column - SIZE / 2) / FOCAL, (row - SIZE / 2) / FOCAL, np.ones_like(row)], -1)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    centre = pose[:3, 3]
    along = rays @ centre
    gap = along**2 - (centre @ centre - 0.64)
    point = (along - np.sqrt(np.maximum(gap, 0)))[..., None] * rays - centre
    normal = point @ pose[:3, :3] / 0.8
    colour = np.stack(
        [0.5 + 0.5 * normal[..., 2], 0.5 - 0.5 * normal[..., 2], 0.5 + 0.5 * normal[..., 1]], -1
    )
    rgba = np.concatenate([colour, np.ones((SIZE, SIZE, 1))], -1) * (gap > 0)[..., None]
    return np.asarray(np.round(255 * rgba), np.uint8)


def write_blender(folder: Path) -> None:
    for split in ("train", "val", "test"):
        (folder / split).mkdir(parents=True)
    frames: dict[str, list[dict[str, Any]]] = {"train": [], "val": [], "test": []}
    for number, pose in enumerate(cameras()):
        split = "test" if number % 8 == 3 else "val" if number % 8 == 7 else "train"
        Image.fromarray(ball(pose)).save(folder / split / f"r_{number}.png")
        matrix = (np.linalg.inv(pose) @ OPENGL).tolist()
        frames[split].append({"file_path": f"./{split}/r_{number}", "transform_matrix": matrix})
    for split, rows in frames.items():
        content = {"camera_angle_x": 2 * np.arctan(SIZE / 2 / FOCAL), "frames": rows}
        (folder / f"transforms_{split}.json").write_text(json.dumps(content), encoding="utf-8")


def write_colmap(folder: Path) -> None:
    model = folder / "sparse" / "0"
    model.mkdir(parents=True)
    (folder / "images").mkdir()
    (model / "cameras.txt").write_text(f"1 PINHOLE {SIZE} {SIZE} {FOCAL} {FOCAL} {SIZE / 2} {SIZE / 2}\n")
    rows = []
    for number, pose in enumerate(cameras()):
        rgba = ball(pose)
        rgb = np.where(rgba[..., 3:] > 0, rgba[..., :3], 255).astype(np.uint8)
        Image.fromarray(rgb).save(folder / "images" / f"{number:02d}.png")
        x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat()
        numbers = " ".join(f"{value:.12g}" for value in (w, x, y, z, *pose[:3, 3]))
        rows.append(f"{number + 1} {numbers} 1 {number:02d}.png\n\n")
    (model / "images.txt").write_text("".join(rows))
    normals = np.random.default_rng(0).normal(size=(300, 3))
    points = 0.8 * normals / np.linalg.norm(normals, axis=1, keepdims=True)
    text = (f"{n} {x:.6f} {y:.6f} {z:.6f} 128 128 128 0.5\n" for n, (x, y, z) in enumerate(points))
    (model / "points3D.txt").write_text("".join(text))


@pytest.mark.parametrize(("name", "write"), [("blender", write_blender), ("colmap", write_colmap)])
def test_a_scene_is_trained_and_measured_on_views_it_never_saw(
    surfhead: Surfhead, tmp_path: Path, name: str, write: Any
) -> None:
    write(tmp_path / "data")
    words = [
        "--preset",
        "static",
        "--eval",
        "--iterations",
        "250",
        "--device",
        "cpu",
        "--quiet",
        "--out",
        "run",
    ]
    words += [f"--set={s}" for s in ("densifier.start=1000", "appearance.degree=1", "evaluate.every=0")]
    words += ["--set=data.points=2000"] * (name == "blender")
    words += ["--set=rate.offset.initial=1e-3", "--set=rate.sh=0.02"]
    said = surfhead("train", "data", *words)
    assert said.code == 0, said.err
    avatar = load_avatar(tmp_path / "run", device="cpu")
    assert len(avatar.surfels) == (2000 if name == "blender" else 300)
    said = surfhead("eval", "run", "--split", "test")
    assert said.code == 0, said.err
    found = json.loads(next(Path("run/eval").glob("*/test.json")).read_text("utf-8"))
    assert (found["views"], found["seen"]) == (2, False)
    scene = create("dataset", name).open(tmp_path / "data")
    truth = [scene.frame(int(view)).image / 255 for view in scene.views.of("test")]
    blank = float(np.mean([-10 * np.log10(np.mean((image - 1) ** 2)) for image in truth]))
    assert found["means"]["psnr"] > blank + 10

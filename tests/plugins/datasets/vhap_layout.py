"""Writes data sets in VHAP's layout, frame by frame."""

from __future__ import annotations

import json

import numpy as np
from PIL import Image

from surfhead.plugins.datasets.vhap.vhap import Vhap

WIDTH, HEIGHT = 10, 8
CX, CY, FX, FY = 3.25, 5.5, 21.0, 19.0


def pose(seed):
    """A camera-to-world matrix in OpenGL axes."""
    generator = np.random.default_rng(seed)
    rotation = np.linalg.qr(generator.normal(size=(3, 3)))[0]
    rotation *= np.sign(np.linalg.det(rotation))
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, generator.normal(size=3)
    return matrix


def pixels(seed, channels=3):
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, channels), dtype=np.uint8)


def tracking(seed, expressions=100):
    generator = np.random.default_rng(seed)
    sizes = {
        "translation": 3,
        "rotation": 3,
        "neck_pose": 3,
        "jaw_pose": 3,
        "eyes_pose": 6,
        "expr": expressions,
    }
    fields = {name: generator.normal(size=(1, size)).astype(np.float32) for name, size in sizes.items()}
    fields["shape"] = np.linspace(0, 1, 300, dtype=np.float32)
    return fields


class Layout:
    """Writes a data set, frame by frame."""

    def __init__(self, root, **tracking_options):
        self.root = root
        for name in ("images", "fg_masks", "flame_param"):
            (root / name).mkdir(parents=True)
        np.savez(root / "canonical_flame_param.npz", **tracking(0))
        self.frames = {"train": [], "val": [], "test": []}
        self.tracking_options = tracking_options

    def add(self, timestep, camera, split="train", image=None, mask=None, **changes):
        stem = f"{timestep:05d}_{camera:02d}"
        if image is None:
            image = pixels(100 * timestep + camera)
        Image.fromarray(image).save(self.root / "images" / f"{stem}.png")
        file = self.root / "flame_param" / f"{timestep:05d}.npz"
        if not file.exists():
            np.savez(file, **tracking(timestep, **self.tracking_options))
        frame = {
            "timestep_index": timestep,
            "camera_index": camera,
            "camera_id": f"c{camera}",
            "file_path": f"images/{stem}.png",
            "flame_param_path": f"flame_param/{timestep:05d}.npz",
            "transform_matrix": pose(camera).tolist(),
            "cx": CX,
            "cy": CY,
            "fl_x": FX,
            "fl_y": FY,
            "w": WIDTH,
            "h": HEIGHT,
        }
        if mask is not None:
            Image.fromarray(mask).save(self.root / "fg_masks" / f"{stem}.png")
            frame["fg_mask_path"] = f"fg_masks/{stem}.png"
        frame |= changes
        frame = {name: value for name, value in frame.items() if value is not None}
        self.frames[split].append(frame)
        return frame

    def write(self, **top):
        for split, frames in self.frames.items():
            (self.root / f"transforms_{split}.json").write_text(json.dumps({**top, "frames": frames}))
        return self.root


def open_set(root, **options):
    return Vhap(Vhap.Options(**options)).open(root)

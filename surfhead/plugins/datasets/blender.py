"""NeRF's synthetic scenes (Mildenhall et al., ECCV 2020), for `--deformer static`.

    ROOT/transforms_train.json, transforms_val.json, transforms_test.json, and RGBA pictures

A frame has ``file_path`` without its ending and ``transform_matrix`` (camera-to-world, OpenGL axes); the file
has ``camera_angle_x``. Pictures are composited on ``background`` by their alpha. Surfels start from
``points3d.ply`` where it is there, else from random points in a cube.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from surfhead.core.api import DataError, Dataset, OptionError, Scene, Views, option
from surfhead.meshes import ply
from surfhead.plugins.datasets.images import ImageOptions, Picture, Pictures, PictureScene, header_size
from surfhead.plugins.datasets.transforms import Record, inside, one_size, read_frames, read_json, wrong

SPLITS = ("train", "val", "test")
ENDINGS = ("", ".png", ".jpg", ".jpeg")
POINTS = "points3d.ply"


class Blender(Dataset):
    """Reads NeRF-synthetic scenes."""

    name = "blender"
    summary = "NeRF-synthetic scenes: transforms_*.json with RGBA pictures."

    @dataclass(frozen=True)
    class Options(ImageOptions):
        """How to read the pictures, and where surfels start."""

        points: int = option(100_000, "Random starting points where points3d.ply is missing.")
        extent: float = option(1.3, "Half the side of the cube of random points, in the scene's unit.")
        seed: int = option(0, "Seed of the random points.")

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.points < 1 or self.extent <= 0 or self.seed < 0:
                raise OptionError(
                    f'"points", "extent", "seed" are {self.points}, {self.extent}, {self.seed}.',
                    "Expected points >= 1, extent > 0, seed >= 0.",
                    "Mend the setting.",
                )

    @classmethod
    def example(cls, folder: Path) -> Blender:
        """Nine pictures of noise, written to the folder."""
        from surfhead.plugins.datasets.example_files import write_blender

        write_blender(folder)
        return cls()

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether the training cameras are there and no head tracking is."""
        file = path / "transforms_train.json"
        if not file.is_file():
            return False
        try:
            frames = read_json(file).get("frames")
        except DataError:
            return False
        first = frames[0] if isinstance(frames, list) and frames and isinstance(frames[0], dict) else {}
        return "transform_matrix" in first and not {"timestep_index", "flame_param_path"} & first.keys()

    def open(self, path: Path | None) -> Scene:
        """Read cameras and starting points. Raises DataError naming the file and the field."""
        root = path or Path()
        found = {split: root / f"transforms_{split}.json" for split in SPLITS}
        if not found["train"].is_file():
            raise wrong(found["train"], "it is missing", "the training cameras", "Check the path.")
        rows = [
            (split, record)
            for split, file in found.items()
            if file.is_file()
            for record in read_frames(file)[1]
        ]
        if not rows:
            raise wrong(found["train"], "it has no frames", "at least one")
        records = [record for _, record in rows]
        images = [_image(root, record) for record in records]
        sizes = [record.size() for record in records]
        known = next((size for size in sizes if size), None) or header_size(images[0])
        native = one_size(records, [size or known for size in sizes])
        views = Views(
            camera_from_world=np.stack([record.camera_from_world() for record in records]),
            intrinsics=np.stack([record.intrinsics(native) for record in records]),
            timestep=np.zeros(len(records), np.int64),
            camera=np.arange(len(records)),
            split=np.array([split for split, _ in rows]),
            names=tuple(f"{split}/{record.index:04d}" for split, record in rows),
            height=native[1],
            width=native[0],
        )
        points, colours, notes = self._points(root)
        pictures = Pictures([Picture(image) for image in images], native, self.options)
        return PictureScene(
            pictures, views, rig="none", rig_parameters={}, points=points, point_colours=colours, notes=notes
        )

    def _points(self, root: Path) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
        file = root / POINTS
        if file.is_file():
            found = ply.read_ply(file)
            columns = {name: found.rows[name] for name in found.names}
            missing = {"x", "y", "z"} - columns.keys()
            if missing:
                raise wrong(file, f'property "{min(missing)}" is missing', "x, y and z")
            points = np.stack([columns[axis] for axis in "xyz"], axis=1).astype(np.float64)
            if not np.isfinite(points).all():
                raise wrong(file, "a point holds NaN or infinity", "finite coordinates")
            shades = [columns.get(name, np.full(len(points), 128)) for name in ("red", "green", "blue")]
            return points, np.stack(shades, axis=1).clip(0, 255).astype(np.uint8), ()
        generator = np.random.default_rng(self.options.seed)
        points = generator.uniform(-self.options.extent, self.options.extent, (self.options.points, 3))
        colours = generator.integers(0, 256, (self.options.points, 3), dtype=np.uint8)
        return points, colours, (f"There is no {POINTS}; surfels start from {len(points)} random points.",)


def _image(root: Path, record: Record) -> Path:
    stem = inside(root, record.text("file_path"), root, record, "file_path")
    candidates = [stem.with_name(stem.name + ending) for ending in ENDINGS]
    return next((file for file in candidates if file.is_file()), candidates[1])
